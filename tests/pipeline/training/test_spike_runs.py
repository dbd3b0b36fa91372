"""A poisoned batch in the real loop: the run ends as one that never had it, also when it is killed on its way back."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import RunConfig
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from tests.pipeline.training.test_loop import config, digests, last_value_per_step

STEPS, BATCH, WARMUP = 12, 4, 4


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One smooth image for each sample of the run, so that no batch comes twice."""
    root = tmp_path_factory.mktemp("spikes")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(STEPS * BATCH):
        coarse = rng.integers(100, 156, (3, 3, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((20, 20)).save(root / "images" / f"{number:02d}.png")
    pack_dataset(folder_sources(str(root / "images")), str(root / "shards"))
    return root / "shards"


def run_of(many: Path, world: int, *overrides: str) -> RunConfig:
    return config(
        many, f"training.steps={STEPS}", f"training.num_workers={world}", "training.zero_stage=1",
        "training.learning_rate=1e-4", "training.validate_every=100", "training.checkpoint_every=2",
        "training.num_to_keep=100", "training.random_k=[]", "training.ema_decay=0.9",
        f"training.spikes={{threshold: 8, warmup_steps: {WARMUP}, patience: 3}}", *overrides,
    )  # fmt: skip


def last(folder: Path) -> dict[str, Any]:
    """All of the last checkpoint but the lists and the loop's state, which tells how the run came there."""
    return {
        name: proof for name, proof in digests(max((folder / "checkpoints").iterdir())).items() if name != "state.json"
    }


def started(run_group: Any, folder: Path, world: int, run: RunConfig, **job: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    result: dict[str, Any] = run_group(folder, "loop", world, config=run.model_dump_json(), **job)[0]
    return result


@pytest.mark.parametrize("world", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_poisoned_batch_is_as_if_it_had_not_been(world: int, many: Path, run_group: Any, tmp_path: Path) -> None:
    step = random.Random(world).randrange(WARMUP + 1, STEPS - 1)
    run = run_of(many, world)
    poisoned = started(run_group, tmp_path / "poisoned", world, run, poison=[step])
    without = started(run_group, tmp_path / "without", world, run, left_out=[step])
    assert poisoned["left_out_steps"] == 1
    assert [name for name in poisoned["files"] if "left_out" in name] == [f"left_out/step-{step + 1:09d}.json"]
    assert [line for line in poisoned["said"] if f"step {step + 1} is left out: loss" in line]
    assert last(tmp_path / "poisoned") == last(tmp_path / "without")
    losses = last_value_per_step(poisoned["logged"], "loss")
    assert {n: loss for n, loss in losses.items() if n != step + 1} == last_value_per_step(without["logged"], "loss")


@pytest.mark.slow
def test_a_checkpoint_that_is_old_enough_is_always_kept(many: Path, run_group: Any, tmp_path: Path) -> None:
    """With one at every step and one kept, as after a save by the clock or for a node that leaves."""
    run = run_of(many, 1, "training.checkpoint_every=1", "training.num_to_keep=1")
    back = started(run_group, tmp_path / "back", 1, run, poison=[7, 8, 9], keep=(1, run.training.spikes.steps_back))
    assert [line for line in back["said"] if "back to" in line or "anew" in line] == [
        "the loss stays up: back to a checkpoint of 4 steps or fewer"
    ]
    started(run_group, tmp_path / "without", 1, run, left_out=list(range(4, 10)))
    assert last(tmp_path / "back") == last(tmp_path / "without")


@pytest.mark.slow
def test_without_a_checkpoint_that_is_old_enough_the_run_begins_anew(
    many: Path, run_group: Any, tmp_path: Path
) -> None:
    """Spikes right after the warm-up, and checkpoints only later than where the run is to go back to."""
    run = run_of(many, 1, "training.checkpoint_every=6")
    back = started(run_group, tmp_path / "back", 1, run, poison=[6, 7, 8])
    assert back["steps"] == STEPS
    assert [line for line in back["said"] if "begins anew" in line] == [
        "no checkpoint of 3 steps or fewer is kept: the run begins anew"
    ]
    started(run_group, tmp_path / "without", 1, run, left_out=list(range(3, 9)))
    assert last(tmp_path / "back") == last(tmp_path / "without")
    assert {path.name for path in (tmp_path / "back" / "checkpoints").iterdir()} == {
        path.name for path in (tmp_path / "without" / "checkpoints").iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("world", [1, 2])
def test_going_back_is_exact_across_a_kill(world: int, many: Path, run_group: Any, tmp_path: Path) -> None:
    run, poison = run_of(many, world), [7, 8, 9]
    back = started(run_group, tmp_path / "back", world, run, poison=poison)
    assert any("left out" in line for line in back["said"])
    assert [line for line in back["said"] if "back to" in line] == [
        "the loss stays up: back to a checkpoint of 4 steps or fewer"
    ]
    assert last_value_per_step(back["logged"], "went_back_to_step") == {10: 4}
    started(run_group, tmp_path / "without", world, run, left_out=list(range(4, 10)))
    assert last(tmp_path / "back") == last(tmp_path / "without")
    for moment in ("before", "after"):
        folder = tmp_path / moment
        with pytest.raises(AssertionError):
            started(run_group, folder, world, run, poison=poison, kill=moment)
        resumed = started(run_group, folder, world, run, poison=poison)
        assert last(folder) == last(tmp_path / "without"), moment
        assert resumed["steps"] == STEPS
