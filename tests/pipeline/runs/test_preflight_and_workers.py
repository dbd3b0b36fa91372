"""What a worker would refuse from the configuration alone is refused before a worker starts, and no more than that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import semanir
from pipeline.config import RunConfig, resolve
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.errors import UserError
from pipeline.runs.preflight import check_config, check_data
from pipeline.training.context import PlainContext
from pipeline.training.losses import get_loss
from pipeline.training.training_plan import TrainingPlan
from pipeline.training.worlds import allowed_worlds

SMALL = {"embed_dim": 8, "window_size": 4, "k": 4, "bias_hidden_dim": 8}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set, one that is too large to be kept decoded, another model's weights, and a file that holds none."""
    root = tmp_path_factory.mktemp("places")
    for name, sides in (("small", (64, 64)), ("large", (6800, 6700))):
        (root / name).mkdir()
        Image.fromarray(np.zeros((*sides, 3), np.uint8)).save(root / name / "one.png", compress_level=1)
        pack_dataset(folder_sources(str(root / name)), str(root / "sets" / name))
    semanir.save(semanir.create_model("columnar_tiny", **SMALL), root / "sets" / "columnar")
    (root / "sets" / "vgg.safetensors").write_bytes(b"no weights")
    return root / "sets"


def config(places: Path, *overrides: str, data: str = "small") -> RunConfig:
    document = {
        "defaults": {
            "storage": f"{places}-runs",
            "model": {"name": "ushape_tiny", **SMALL},
            "data": {"train": f"{places}/{data}", "val": f"{places}/small", "patch_size": 32},
            "training": {"steps": 4, "global_batch_size": 4},
        }
    }
    return resolve(document, "denoising_color", [text.replace("PLACES", str(places)) for text in overrides])


def before(run: RunConfig) -> str:
    """What preflight says of a configuration, "" when it lets it pass."""
    try:
        check_config(run)
        check_data(run)
    except UserError as error:
        return str(error)
    return ""


def on_a_worker(run: RunConfig, world_size: int, rank: int = 0) -> str:
    """What a worker says of it before its first step, "" when it would train."""
    context: Any = PlainContext("unused", rank, world_size)
    try:
        plan = TrainingPlan(run, context)
        plan.build_model()
        get_loss(plan.loss, run.training.perceptual_weights)
        plan.open_stream(0)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.crops_per_image=3", "training.global_batch_size=8"], ["global_batch_size 8", "crops_per_image 3"]),
        (["data.crops_per_image=3", "training.global_batch_size=4"], ["global_batch_size 4", "3 or 6"]),
        (
            ["data.crops_per_image=4", "training.global_batch_size=16", "training.micro_batch_size=2"],
            ["micro_batch_size 2", "crops_per_image 4"],
        ),
        (
            ["data.crops_per_image=2", "training.num_workers=4"],
            ["a world of 4 ranks", "a global batch of 4 samples, 2 of each image"],
        ),
        (["training.phases=[{steps: 2, global_batch_size: 6}, {steps: 2}]", "data.crops_per_image=4"], ["6", "4 or 8"]),
        (["model.init=shipped:sr_x2"], ["model.init shipped:sr_x2", "not this model's weights"]),
        (["model.init=PLACES/columnar"], ["columnar", "not this model's weights"]),
        (["model.init=shipped:sr_x9"], ["shipped:sr_x9", "comes with the package"]),
        (["data.train=PLACES/large", "data.block_size=65536", "data.streams=4096"], ["65536 samples", "GiB"]),
        (["data.train=PLACES/large", "data.block_size=65536", "data.loader_workers=64"], ["65536 samples", "GiB"]),
        (
            ["training.loss=smooth_l1_vgg", "training.perceptual_weights=PLACES/vgg.safetensors"],
            ["perceptual_weights", "not a safetensors file"],
        ),
        (
            ["training.loss=smooth_l1_vgg", "training.perceptual_weights=PLACES/gone.safetensors"],
            ["perceptual_weights", "does not exist"],
        ),
    ],
)
def test_what_a_worker_refuses_is_refused_before(overrides: list[str], words: list[str], places: Path) -> None:
    run = config(places, *overrides)
    told = on_a_worker(run, run.training.max_workers)
    said = before(run)
    assert told, "a worker would train it"
    assert told in said
    assert "\n" not in said
    assert said.startswith("denoising_color: ")
    assert all(word in said for word in words), said


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_preflight_and_workers_agree_about_numbers(data: st.DataObject, places: Path) -> None:
    """Of any numbers: what passes is trained by every world that the run may have, what does not by one end not."""
    few = st.sampled_from([1, 2, 3, 4, 6, 8])
    least, most = sorted((data.draw(few), data.draw(few)))
    overrides = [
        f"training.global_batch_size={least * most * data.draw(few)}",  # else most are refused as they are read
        f"training.num_workers=[{least}, {most}]",
        f"data.crops_per_image={data.draw(st.integers(1, 4))}",
        f"data.streams={data.draw(st.sampled_from([8, 24, 48, 4096]))}",
        f"data.block_size={data.draw(st.sampled_from([8, 64, 65536]))}",
        f"data.loader_workers={data.draw(st.sampled_from([0, 3]))}",
    ]
    if data.draw(st.booleans()):
        overrides.append(f"training.micro_batch_size={data.draw(few)}")
    if data.draw(st.booleans()):
        overrides.append(
            f"training.phases=[{{steps: 1, global_batch_size: {least * most * data.draw(few)}}}, {{steps: 3}}]"
        )
    try:
        run = config(places, *overrides, data="large")
    except UserError:
        return  # refused as it is read
    ends = {run.training.min_workers, run.training.max_workers}
    if said := before(run):
        assert any(told and told in said for told in (on_a_worker(run, world) for world in ends)), said
    else:
        worlds = allowed_worlds(run)
        assert ends <= set(worlds)
        assert [on_a_worker(run, world, rank=world - 1) for world in worlds] == [""] * len(worlds)
