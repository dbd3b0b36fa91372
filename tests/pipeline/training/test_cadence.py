"""Checkpoints by step and by rank 0's clock; any checkpoint starts it anew, and none is piled upon others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.cadence import Cadence
from pipeline.training.context import PlainContext
from pipeline.training.loop import train
from pipeline.training.upload import Uploads
from tests.pipeline.training.test_loop import config, resolve_single


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_checkpoint_is_due_so_long_after_the_last_one(tmp_path: Path) -> None:
    clock = Clock()
    cadence = Cadence(1000, 30.0, PlainContext(tmp_path), clock)
    found = []
    for clock.time in (0.0, 29.9, 30.0, 31.0):
        found.append(cadence.votes())
    assert found == [(0, 0), (0, 0), (1, 0), (1, 0)]
    cadence.saved()
    clock.time = 60.9
    assert cadence.votes() == (0, 0)
    clock.time = 61.0
    assert cadence.votes() == (1, 0)


@pytest.mark.parametrize(("every_s", "rank"), [(None, 0), (0.0, 1)])
def test_who_has_no_say_asks_for_none(every_s: float | None, rank: int, tmp_path: Path) -> None:
    assert Cadence(1000, every_s, PlainContext(tmp_path, rank, 2)).votes() == (0, 0)


@given(every=st.integers(1, 5), behind=st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=30, max_size=30))
def test_what_is_due_waits_until_no_rank_is_behind_and_is_not_forgotten(every: int, behind: list[float]) -> None:
    cadence, owed = Cadence(every, None, PlainContext("nowhere")), False
    for step, lag in enumerate(behind, start=1):
        owed = owed or step % every == 0
        saves = cadence.decides(step, 0.0, lag)
        assert saves == (owed and not lag)
        if saves:
            cadence.saved()
            owed = False


def test_a_worker_is_behind_with_two_under_way() -> None:
    uploads = Uploads()
    found = []
    for change in (uploads.begins, uploads.begins, uploads.begins, uploads.ends, uploads.ends):
        change()
        found.append(uploads.behind())
    assert found == [False, True, True, True, False]


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
