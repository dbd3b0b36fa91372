"""A checkpoint has the bytes that were foretold: all of them, in every stage, on one worker and on several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.config import TrainingSettings
from pipeline.training.checkpoint_size import checkpoint_bytes, file_bytes, own_shares
from tests.pipeline.training.test_loop import config


@pytest.mark.parametrize(
    ("world", "stage", "ema"),
    [
        (2, 1, 0.9),
        *(pytest.param(world, stage, 0, marks=pytest.mark.slow) for world in (1, 2) for stage in range(4)),
    ],
)
def test_a_checkpoint_has_the_bytes_that_were_foretold(
    world: int, stage: int, ema: float, shards: Path, run_group: Any, tmp_path: Path
) -> None:
    run = config(
        shards, "training.steps=2", f"training.zero_stage={stage}", f"training.ema_decay={ema}",
        f"training.num_workers={world}", "training.schedule.warmup_steps=1",
    )  # fmt: skip
    run_group(tmp_path, "loop", world, config=run.model_dump_json())
    (last,) = (tmp_path / "checkpoints").glob("step-*")
    assert sum(path.stat().st_size for path in last.rglob("*") if path.is_file()) == checkpoint_bytes(run, world)


@pytest.mark.parametrize("metadata", [None, {"starts": '{"a.b": 0, "c": 17}'}])
def test_a_file_of_tensors(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    shapes = {"c": (3, 5), "a.b": (1,), "empty": (0,), "long": (1234, 7)}
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "file", metadata=metadata)
    assert (tmp_path / "file").stat().st_size == file_bytes(shapes, metadata)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("stage", range(4))
def test_ranks_share_every_element_once(world: int, stage: int, shards: Path) -> None:
    run = config(shards)
    run = run.model_copy(update={"training": run.training.model_copy(update={"zero_stage": stage})})
    numel = {"one": 1, "seven": 7, "many": 100}
    found = {name: [] for name in numel}
    for rank in range(world):
        for name, start, length in own_shares(numel, run, rank, world):
            assert length > 0
            found[name] += range(start, start + length)
    assert {name: sorted(places) for name, places in found.items()} == {
        name: list(range(n)) for name, n in numel.items()
    }


def test_the_default_is_auto() -> None:
    assert TrainingSettings(steps=1, global_batch_size=2).on_gpu is False
