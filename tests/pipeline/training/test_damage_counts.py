"""Damage that any rank meets reaches the figures and the list of rank 0, or ends the run in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import RunConfig, resolve
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.training.context import DamagedData, PlainContext
from pipeline.training.loop import train
from pipeline.training.outage import EndOfPatience


@pytest.fixture
def damaged(tmp_path: Path) -> Manifest:
    """Eight images in one shard: three of them altered, the last one cut. A sound copy lies beside."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    for name in ("sound", "damaged"):
        pack_dataset(folder_sources(str(tmp_path / "images")), str(tmp_path / name))
    manifest = load_manifest(str(tmp_path / "damaged"))
    (shard,) = manifest.shards
    path, rows = Path(manifest.uri) / shard.name, manifest.rows(0)
    data = bytearray(path.read_bytes())
    for row in (1, 3, 5):
        data[rows[row].offset + 520] ^= 1
    path.write_bytes(bytes(data[: rows[7].offset + 600]))
    return manifest


def config(manifest: Manifest, *overrides: str) -> RunConfig:
    document = {
        "defaults": {
            "storage": "unused",
            "model": {"name": "ushape_tiny"},
            "data": {
                "train": manifest.uri, "val": str(Path(manifest.uri).with_name("sound")), "patch_size": 16,
                "streams": 4, "block_size": 2, "on_damage": "skip", "max_skipped_share": 0.5,
            },
            "training": {"steps": 2, "global_batch_size": 4, "log_every": 1},
        }
    }  # fmt: skip
    return resolve(document, "denoising_color", overrides)


def test_all_ranks_damage_is_counted_by_kind_and_listed(damaged: Manifest, run_group: Any, tmp_path: Path) -> None:
    results = run_group(tmp_path, "loop", 2, config=config(damaged).model_dump_json())
    (epoch,) = (metrics for step, metrics in results[0]["logged"] if step == 2 and "loss" in metrics)
    counts = {name: value for name, value in epoch.items() if name.startswith(("damaged", "storage"))}
    assert counts == {"damaged_samples": 4, "damaged_altered": 3, "damaged_truncated": 1, "storage_retries": 0}
    # Whichever rank met it, rank 0 sends the list, and a checkpoint keeps it.
    rows = damaged.rows(0)
    kinds = {rows[row].key: "truncated" if row == 7 else "altered" for row in (1, 3, 5, 7)}
    expected = {(damaged.uri, damaged.shards[0].name, key, kind) for key, kind in kinds.items()}
    listed = json.loads(results[0]["files"]["skipped_samples.json"])
    assert {(one["dataset"], one["shard"], one["key"], one["kind"]) for one in listed} == expected
    assert len(listed) == 4
    assert results[1]["files"] == {}
    state = json.loads((max((tmp_path / "checkpoints").iterdir()) / "state.json").read_text())
    assert state["skipped_samples"] == listed
    assert [result["skipped_samples"] for result in results] == [4, 4]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data.on_damage=raise",), r"^altered in .*/shard-\S+, sample '\d': .*restore the shard"),
        (("data.max_skipped_share=0.1",), r"damaged"),
    ],
)
def test_damage_that_may_not_pass_ends_the_run_in_one_line(
    workers: int, overrides: tuple[str, ...], said: str, damaged: Manifest, tmp_path: Path
) -> None:
    run = config(damaged, "training.num_workers=1", f"data.loader_workers={workers}", *overrides)
    with pytest.raises(DamagedData, match=said) as refusal:
        train(run, PlainContext(tmp_path / "checkpoints"))
    assert "\n" not in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


def test_no_new_workers_are_started_for_what_they_would_meet_again() -> None:
    class Wrapped(Exception):
        cause = DamagedData("altered in a/b, sample '1'")

    with pytest.raises(DamagedData, match="altered in a/b"):
        EndOfPatience().after_exception(None, {0: RuntimeError("a peer is gone"), 1: Wrapped()})
    EndOfPatience().after_exception(None, {0: RuntimeError("a peer is gone")})
