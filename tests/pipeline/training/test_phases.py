"""Recipes of phases: steps, sizes, learning rates; and steps of changing batch sizes in the real engine."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.config import RunConfig, ScheduleSettings, resolve
from pipeline.data.batches import Phase
from pipeline.errors import UserError
from pipeline.training.phases import learning_rate_at, phase_of, training_phases


def config(data: dict[str, Any] | None = None, **training: Any) -> RunConfig:
    values = {"steps": 6, "global_batch_size": 8, "learning_rate": 1.0, "schedule": {"kind": "cosine"}, **training}
    data = {"train": "unused", "val": "unused", "patch_size": 32, **(data or {})}
    return resolve({"defaults": {"storage": "unused", "data": data, "training": values}}, "denoising_color")


def test_without_phases_there_is_one() -> None:
    (phase,) = training_phases(config())
    assert (phase.steps, phase.patch_size, phase.global_batch_size, phase.first_step) == (6, 32, 8, 0)


RUN = {
    "first_step": 4, "steps": 2, "patch_size": 32, "global_batch_size": 8, "micro_batch_size": 2, "peak": 1.0,
    "schedule": ScheduleSettings(kind="cosine"), "rate_start": 0, "rate_steps": 6, "largest_world": None,
    "crops_per_image": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, {}),
        ({"patch_size": 64}, {"patch_size": 64}),
        ({"global_batch_size": 4}, {"global_batch_size": 4}),
        ({"micro_batch_size": 4}, {"micro_batch_size": 4}),
        ({"learning_rate": 0.5}, {"peak": 0.5, "rate_start": 4, "rate_steps": 2}),
        (
            {"schedule": {"kind": "constant"}},
            {"schedule": ScheduleSettings(kind="constant"), "rate_start": 4, "rate_steps": 2},
        ),
    ],
    ids=str,
)
def test_what_a_phase_leaves_out_is_the_runs(given: dict[str, Any], changed: dict[str, Any]) -> None:
    phases = training_phases(config(micro_batch_size=2, phases=[{"steps": 4}, {"steps": 2, **given}]))
    found = [{field.name: getattr(phase, field.name) for field in dataclasses.fields(phase)} for phase in phases]
    assert found == [RUN | {"first_step": 0, "steps": 4}, RUN | changed]


def test_a_micro_batch_grows_no_larger_than_in_the_largest_world() -> None:
    (fixed,) = training_phases(config(num_workers=2))
    (elastic,) = training_phases(config(num_workers=[1, 4]))
    (named,) = training_phases(config(num_workers=[1, 4], micro_batch_size=1))
    assert [fixed.micro_batch(world) for world in (1, 2, 4)] == [8, 4, 2]
    assert [elastic.micro_batch(world) for world in (1, 2, 4)] == [2, 2, 2]
    assert [named.micro_batch(world) for world in (1, 2, 4)] == [1, 1, 1]
    # Four workers have 3 samples each; with six, each has 2: so one at a time, which divides the 3.
    (uneven,) = training_phases(config(num_workers=[4, 6], global_batch_size=12))
    assert [uneven.micro_batch(world) for world in (4, 6)] == [1, 2]
    # The two crops of an image stay together.
    (crops,) = training_phases(config({"crops_per_image": 2}, num_workers=[4, 6], global_batch_size=24))
    assert [crops.micro_batch(world) for world in (4, 6)] == [2, 4]
    assert elastic.data_phase(1) == Phase(steps=6, global_batch_size=8, micro_batch_size=2)


def test_progressive_phases_share_the_runs_schedule() -> None:
    whole = training_phases(config())
    parts = training_phases(config(phases=[{"steps": 2}, {"steps": 4, "patch_size": 64, "global_batch_size": 4}]))
    assert [phase_of(parts, step).patch_size for step in range(7)] == [32, 32, 64, 64, 64, 64, 64]
    assert [part.first_step for part in training_phases(config(phases=[{"steps": 2}] * 3))] == [0, 2, 4]
    assert [phase.data_phase(2).micro_batch_size for phase in parts] == [4, 2]
    for step in range(6):
        assert learning_rate_at(parts, step) == learning_rate_at(whole, step)


def test_a_phase_with_its_own_rate_counts_its_own_steps() -> None:
    phases = training_phases(config(phases=[{"steps": 4}, {"steps": 2, "learning_rate": 0.5}]))
    assert learning_rate_at(phases, 4) == 0.5
    assert learning_rate_at(phases, 5) == pytest.approx(0.25)
    constant = {"steps": 2, "schedule": {"kind": "constant"}}
    assert learning_rate_at(training_phases(config(phases=[{"steps": 4}, constant])), 5) == 1.0


def test_a_phase_with_its_own_schedule_counts_its_own_steps() -> None:
    own = {"steps": 4, "schedule": {"kind": "cosine", "warmup_steps": 2, "final_ratio": 0.2}}
    phases = training_phases(config(steps=10, phases=[{"steps": 6}, own]))
    # Two steps up, then half a cosine from 1 to 0.2 over the two that are left.
    assert [learning_rate_at(phases, step) for step in (6, 7, 8, 9)] == pytest.approx([0.5, 1.0, 1.0, 0.6])
    halved = {"steps": 4, "schedule": {"kind": "multistep", "milestones": [2]}}
    phases = training_phases(config(steps=10, phases=[{"steps": 6}, halved]))
    assert [learning_rate_at(phases, step) for step in (6, 7, 8, 9)] == [1.0, 1.0, 0.5, 0.5]
    assert learning_rate_at(phases, 5) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ([{"steps": 2}, {"steps": 3}], "5 steps together, but steps is 6"),
        ([{"steps": 6, "global_batch_size": 3}], "global_batch_size 3 does not divide by num_workers 2"),
        ([{"steps": 6, "micro_batch_size": 3}], "micro_batch_size 3 does not divide the 4 samples"),
        ([{"steps": 6, "patch": 3}], "unknown key"),
    ],
)
def test_phases_that_do_not_fit_are_refused(phases: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        config(phases=phases)


def charbonnier(restored: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
    """LapSRN's loss with its ε of 1e-3, written again: a reference takes nothing from what it checks."""
    return torch.sqrt((restored - gt) ** 2 + 1e-3**2).mean()


SIZES = [(8, 4), (8, 4), (4, 1), (4, 1), (12, 2), (2, 1)]  # (global batch, micro-batch) of each step
SETTINGS = {"steps": 6, "global_batch_size": 8, "num_workers": 2, "learning_rate": 3e-3, "gradient_clipping": 0.5}


def test_changing_batch_sizes_match_plain_pytorch(run_group: Any, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("plain_worker", Path(__file__).parent / "plain_worker.py")
    assert spec is not None
    assert spec.loader is not None
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    model = worker.small_net()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    expected = []
    for step, (total, _) in enumerate(SIZES):
        lq, gt = worker.global_batch(step, total)
        optimizer.zero_grad()
        loss = charbonnier(model(lq), gt)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        expected.append(loss.item())
    results = run_group(tmp_path, "phases", 2, settings=SETTINGS, sizes=SIZES, stages=[0, 1, 2, 3])
    for losses in results[0].values():
        assert losses == pytest.approx(expected, rel=1e-5)
