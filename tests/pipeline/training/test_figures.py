"""Figures that a checkpoint carries, in case that the driver died before MLflow heard of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.training.context import Figures, PlainContext, StopRun
from pipeline.training.figures import FILE, KEPT, FigureLog


class Recorder(PlainContext):
    def __init__(self, rank: int = 0) -> None:
        super().__init__("unused", rank)
        self.told: list[Figures] = []

    def log(self, figures: Figures) -> None:
        self.told.append(figures)


def test_what_a_checkpoint_holds_is_told_again_as_of_the_same_moment(tmp_path: Path) -> None:
    before, after, later = Recorder(), Recorder(), Recorder()
    log = FigureLog(before)
    log.tell(1, {"loss": 0.5, "workers": 2})
    log.tell(2, {"loss": 0.1 + 0.2})
    log.save(tmp_path)
    log.tell(3, {"loss": 0.25})  # trained again by whoever goes on from the checkpoint
    again = FigureLog(after)
    again.tell_again(tmp_path)
    assert [(told.step, told.metrics, told.time_ms) for told in after.told] == [
        (told.step, told.metrics, told.time_ms) for told in before.told[:2]
    ]
    assert [told.again for told in before.told + after.told] == [False] * 3 + [True] * 2
    # The next checkpoint holds them too: the driver may die once more before it passed them on.
    again.tell(3, {"loss": 0.25})
    again.save(tmp_path)
    FigureLog(later).tell_again(tmp_path)
    assert [told.step for told in later.told] == [1, 2, 3]


def test_a_checkpoint_holds_the_last_of_many(tmp_path: Path) -> None:
    log = FigureLog(Recorder())
    for step in range(KEPT + 7):
        log.tell(step, {"loss": 1.0})
    log.save(tmp_path)
    again = Recorder()
    FigureLog(again).tell_again(tmp_path)
    assert [told.step for told in again.told] == list(range(7, KEPT + 7))


def test_other_ranks_and_older_checkpoints_tell_nothing(tmp_path: Path) -> None:
    second, first = Recorder(rank=1), Recorder()
    FigureLog(second).tell(1, {"loss": 0.5})
    FigureLog(second).save(tmp_path)
    assert not (tmp_path / FILE).exists()
    FigureLog(first).tell_again(tmp_path)
    assert first.told == second.told == []


@pytest.mark.parametrize(
    "content", ["{", "[1]", '[{"step": 1}]', '[{"step": 1, "metrics": {"loss": "x"}, "time_ms": 1}]']
)
def test_something_else_than_figures_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(StopRun, match=f"the checkpoint's {FILE}"):
        FigureLog(Recorder()).tell_again(tmp_path)


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    log = FigureLog(Recorder())
    log.tell(1, {"loss": 0.5})
    log.save(tmp_path)
    (told,) = json.loads((tmp_path / FILE).read_text())
    assert set(told) == {"step", "metrics", "time_ms"}
