"""Checkpoints by the clock: rank 0's, and any checkpoint starts it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.training.cadence import Cadence
from pipeline.training.context import PlainContext
from pipeline.training.loop import train
from tests.pipeline.training.test_loop import config, resolve_single


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_checkpoint_is_due_so_long_after_the_last_one(tmp_path: Path) -> None:
    clock = Clock()
    cadence = Cadence(30.0, PlainContext(tmp_path), clock)
    found = []
    for clock.time in (0.0, 29.9, 30.0, 31.0):
        found.append(cadence.is_due())
    assert found == [False, False, True, True]
    cadence.saved()
    clock.time = 60.9
    assert not cadence.is_due()
    clock.time = 61.0
    assert cadence.is_due()


@pytest.mark.parametrize(("every_s", "rank"), [(None, 0), (0.0, 1)])
def test_who_has_no_say_asks_for_none(every_s: float | None, rank: int, tmp_path: Path) -> None:
    assert not Cadence(every_s, PlainContext(tmp_path, rank, 2)).is_due()


def test_the_loop_saves_by_the_clock_too(shards: Path, tmp_path: Path) -> None:
    rare = ("training.checkpoint_every=100", "training.validate_every=100")
    run = resolve_single(config(shards, "training.steps=3", *rare))
    train(run, PlainContext(tmp_path / "by-steps"))
    assert [folder.name for folder in (tmp_path / "by-steps").iterdir()] == ["step-000000003"]
    timed = run.model_copy(update={"training": run.training.model_copy(update={"checkpoint_every_s": 0.0})})
    assert timed.fingerprint() == run.fingerprint()
    train(timed, PlainContext(tmp_path / "by-time"))
    names = sorted(folder.name for folder in (tmp_path / "by-time").iterdir())
    assert names == ["step-000000001", "step-000000002", "step-000000003"]
