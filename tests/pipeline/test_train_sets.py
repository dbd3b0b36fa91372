"""Several training sets in the configuration: weights, their order, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import RunConfig, resolve
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.data.shard_cache import CacheSettings
from pipeline.errors import UserError
from pipeline.runs.preflight import check_data
from pipeline.training.context import PlainContext
from pipeline.training.training_plan import TrainingPlan


def config(train: Any, val: str = "val") -> RunConfig:
    defaults = {
        "storage": "runs",
        "data": {"train": train, "val": val, "patch_size": 16, "streams": 4, "block_size": 2},
        "training": {"steps": 9, "global_batch_size": 4, "num_workers": 1},
        "model": {"name": "ushape_tiny"},
    }
    return resolve({"defaults": defaults}, "denoising_color")


def packed(folder: Path, name: str, side: int, count: int) -> str:
    (folder / name).mkdir()
    for number in range(count):
        pixels = np.full((side, side, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{name}{number}.png")
    return pack_dataset(folder_sources(str(folder / name)), str(folder / f"{name}-shards")).uri


def test_one_address_has_weight_one_and_several_are_ordered():
    assert config("a").data.train_sets == {"a": 1}
    assert list(config({"b": 1, "a": 3}).data.train_sets.items()) == [("a", 3), ("b", 1)]


@pytest.mark.parametrize(("train", "word"), [({}, "at least 1"), ({"a": 0}, "greater than"), ({"a": 1.5}, "integer")])
def test_weights_that_mean_nothing_are_refused(train, word):
    with pytest.raises(UserError, match=word):
        config(train)


def test_every_training_set_must_hold_the_patch(tmp_path):
    large, small = packed(tmp_path, "large", 32, 1), packed(tmp_path, "small", 8, 1)
    check_data(config({large: 1}, large))
    with pytest.raises(UserError, match=r"larger than the smallest image side of .*small-shards"):
        check_data(config({large: 1, small: 2}, large))


def test_the_plan_streams_the_mixture(tmp_path):
    sets = {packed(tmp_path, "often", 32, 3): 2, packed(tmp_path, "seldom", 32, 2): 1}
    run = config(sets, val=next(iter(sets)))
    plan = TrainingPlan(run, PlainContext(tmp_path / "runs", 0, 1))
    keys = [key for batch in plan.open_stream(0) for key in batch.keys]
    assert len(keys) == 36
    assert sum(key.startswith("often") for key in keys) == 24
    alone = TrainingPlan(config(next(iter(sets))), PlainContext(tmp_path / "runs", 0, 1))
    assert plan.data_digest != alone.data_digest


def test_the_plan_keeps_shards_on_local_disk_when_told(tmp_path):
    uri = packed(tmp_path, "some", 32, 3)
    plan = TrainingPlan(config(uri, uri), PlainContext(tmp_path / "runs", 0, 1))
    assert plan.open_stream(0).stream.settings.cache is None
    run = config(uri, uri)
    kept = run.model_copy(update={"data": run.data.model_copy(update={"cache_folder": "c", "cache_gib": 0.5})})
    assert kept.fingerprint() == run.fingerprint()
    cache = TrainingPlan(kept, PlainContext(tmp_path / "runs", 0, 1)).open_stream(0).stream.settings.cache
    assert cache == CacheSettings("c", 2**29)
