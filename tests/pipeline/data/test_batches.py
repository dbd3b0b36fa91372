from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.batches import (
    BatchSchedule,
    Phase,
    Step,
    allowed_world_sizes,
    check_world_size,
    data_position_digest,
)
from pipeline.errors import UserError

PROGRESSIVE = BatchSchedule(
    (
        Phase(steps=3, global_batch_size=16, micro_batch_size=4),
        Phase(steps=2, global_batch_size=8, micro_batch_size=2),
        Phase(global_batch_size=4, micro_batch_size=1),
    )
)


@given(st.integers(1, 1024), st.integers(1, 1024))
def test_allowed_worlds_divide_streams_and_batch(streams, batch):
    allowed = allowed_world_sizes(streams, batch)
    assert allowed == [w for w in range(1, 1025) if streams % w == 0 and batch % w == 0]


def test_a_refused_world_names_its_neighbors():
    check_world_size(8, 64, 24)
    with pytest.raises(UserError, match=r"world of 3 ranks .* nearest allowed: 2 or 4"):
        check_world_size(3, 64, [24, 16])
    with pytest.raises(UserError, match=r"nearest allowed: 8$"):
        check_world_size(16, 64, 24)


def test_a_refusal_names_the_numbers_that_were_set():
    """Samples, as the configuration has them: images are what is left after crops."""
    with pytest.raises(
        UserError, match=r"a global batch of 4 and of 8 samples, 2 of each image; the nearest allowed: 2"
    ):
        check_world_size(4, 64, [2, 4, 2], 2)
    with pytest.raises(UserError, match=r"global_batch_size 4 .* crops_per_image 3: .* the nearest: 3 or 6$"):
        BatchSchedule((Phase(global_batch_size=4, micro_batch_size=3),), 3)
    with pytest.raises(UserError, match=r"micro_batch_size 2 .* crops_per_image 4: .* the nearest: 4$"):
        BatchSchedule((Phase(global_batch_size=16, micro_batch_size=2),), 4)


def test_phases_follow_one_another_without_a_gap():
    steps, position = [], 0
    for _ in range(7):
        step = PROGRESSIVE.step_at(position)
        steps.append((step.start, step.end, step.phase))
        position = step.end
    assert steps == [(0, 16, 0), (16, 32, 0), (32, 48, 0), (48, 56, 1), (56, 64, 1), (64, 68, 2), (68, 72, 2)]
    assert [PROGRESSIVE.phase_at(p) for p in (0, 47, 48, 63, 64, 10**9)] == [0, 0, 1, 1, 2, 2]
    assert PROGRESSIVE.end_position is None


def test_a_bounded_schedule_ends():
    schedule = BatchSchedule((Phase(steps=2, global_batch_size=6, micro_batch_size=3),), crops_per_image=3)
    assert schedule.end_position == 4
    assert schedule.step_at(2).end == 4
    assert schedule.step_at(4) is None


def test_past_the_end_stands_the_last_phase():
    schedule = BatchSchedule(
        (
            Phase(steps=2, global_batch_size=8, micro_batch_size=1),
            Phase(steps=3, global_batch_size=4, micro_batch_size=1),
            Phase(steps=1, global_batch_size=2, micro_batch_size=1),
        )
    )
    assert schedule.end_position == 16 + 12 + 2
    assert [schedule.phase_at(p) for p in (15, 16, 27, 28, 29, 30, 1000)] == [0, 1, 1, 2, 2, 2, 2]
    assert schedule.step_at(28) == Step(28, 30, 2)  # the third phase starts where both others ended
    assert schedule.step_at(30) is None


def test_one_of_everything_is_enough():
    schedule = BatchSchedule((Phase(global_batch_size=1, micro_batch_size=1, steps=1),))
    assert (schedule.step_at(0), schedule.end_position) == (Step(0, 1, 0), 1)


@pytest.mark.parametrize("position", [1, 15, 50, 65])
def test_a_position_inside_a_step_is_refused(position):
    with pytest.raises(UserError, match="resume where a step ended"):
        PROGRESSIVE.step_at(position)


def test_worlds_must_suit_every_phase_and_its_micro_batch():
    PROGRESSIVE.check_world(4, 64)
    with pytest.raises(UserError, match="nearest allowed: 4"):
        PROGRESSIVE.check_world(8, 64)
    with pytest.raises(UserError, match="micro_batch_size 3 does not divide the 4 samples"):
        BatchSchedule((Phase(global_batch_size=8, micro_batch_size=3),)).check_world(2, 64)


@pytest.mark.parametrize(
    ("phases", "crops", "message"),
    [
        ((), 1, "has no phase"),
        ((Phase(global_batch_size=0, micro_batch_size=1),), 1, "at least 1"),
        ((Phase(global_batch_size=2, micro_batch_size=0),), 1, "at least 1"),
        ((Phase(global_batch_size=2, micro_batch_size=1),), 0, "at least 1"),
        ((Phase(global_batch_size=2, micro_batch_size=1, steps=0),), 1, "at least 1"),
        ((Phase(global_batch_size=8, micro_batch_size=2),), 4, "not a multiple of crops_per_image 4"),
        ((Phase(global_batch_size=8, micro_batch_size=2),) * 2, 1, "no number of steps, but another"),
    ],
)
def test_impossible_schedules_are_refused(phases, crops, message):
    with pytest.raises(UserError, match=message):
        BatchSchedule(phases, crops)


A: Any = SimpleNamespace(digest="aa", uri="a")
B: Any = SimpleNamespace(digest="bb", uri="b")
POSITION: dict[str, Any] = {
    "datasets": [(A, 2), (B, 1)],
    "seed": 3,
    "streams": 64,
    "block_size": 16,
    "schedule": BatchSchedule((Phase(steps=5, global_batch_size=8, micro_batch_size=2),), crops_per_image=2),
}


def test_the_identity_of_a_data_position_is_pinned() -> None:
    """A stored run is continued only under this digest: a change of its form needs a new ORDER_VERSION."""
    text = (
        '{"block_size": 16, "crops_per_image": 2, "datasets": [["aa", 2], ["bb", 1]], "order_version": 1, '
        '"phases": [[5, 8]], "seed": 3, "streams": 64}'
    )
    assert data_position_digest(**POSITION) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"datasets": [(A, 2), (B, 2)]},
        {"datasets": [(B, 2), (A, 1)]},
        {"seed": 4},
        {"streams": 32},
        {"block_size": 8},
        {"schedule": BatchSchedule((Phase(steps=5, global_batch_size=8, micro_batch_size=2),), crops_per_image=1)},
        {"schedule": BatchSchedule((Phase(steps=6, global_batch_size=8, micro_batch_size=2),), crops_per_image=2)},
        {"schedule": BatchSchedule((Phase(steps=5, global_batch_size=16, micro_batch_size=2),), crops_per_image=2)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_moves_a_sample_changes_the_identity(change: dict[str, Any]) -> None:
    assert data_position_digest(**{**POSITION, **change}) != data_position_digest(**POSITION)


def test_how_a_batch_is_cut_among_ranks_does_not() -> None:
    smaller = BatchSchedule((Phase(steps=5, global_batch_size=8, micro_batch_size=4),), crops_per_image=2)
    assert data_position_digest(**{**POSITION, "schedule": smaller}) == data_position_digest(**POSITION)
