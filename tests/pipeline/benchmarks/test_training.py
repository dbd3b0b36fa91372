"""The training benchmark measures nothing before the engine's losses are plain PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.benchmarks import training_pace
from pipeline.benchmarks.training_pace import BareStep, compare_steps
from pipeline.benchmarks.training_run import benchmark_config
from pipeline.config import RunConfig
from pipeline.data.packing.builtin import builtin_sources
from pipeline.data.packing.pack import pack_dataset
from pipeline.training.context import PlainContext


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunConfig]:
    monkeypatch.setattr(training_pace, "BLOCK", 1)
    pack_dataset(builtin_sources("train"), str(tmp_path / "train"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker of Ray Train has it
    yield benchmark_config(tmp_path, steps=4, workers=1, threads=1)
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_each_kind_of_step_is_timed(config: RunConfig, tmp_path: Path) -> None:
    times = compare_steps(config, PlainContext(tmp_path / "runs"), rounds=1)
    assert set(times) == {"bare", "engine", "in_memory", "streamed"}
    assert min(min(each) for each in times.values()) > 0


def test_another_loss_is_not_timed(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = BareStep.__call__
    monkeypatch.setattr(BareStep, "__call__", lambda self: 1.01 * step(self))
    with pytest.raises(RuntimeError, match="nothing is timed"):
        compare_steps(config, PlainContext(tmp_path / "runs"), rounds=1)
