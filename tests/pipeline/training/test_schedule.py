"""Learning rate and k as functions of the step."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ScheduleSettings
from pipeline.training.schedule import draw_k, learning_rate


@given(st.integers(0, 50), st.integers(1, 500), st.floats(0, 1))
def test_cosine_rises_once_and_falls_to_its_floor(warmup: int, after: int, floor: float) -> None:
    steps = warmup + after
    schedule = ScheduleSettings(kind="cosine", warmup_steps=warmup, final_ratio=floor)
    rates = [learning_rate(step, steps, 2.0, schedule) for step in range(steps + 1)]
    assert max(rates) == pytest.approx(2.0)
    assert all(a < b for a, b in pairwise(rates[:warmup]))
    assert all(a >= b - 1e-12 for a, b in pairwise(rates[warmup:]))
    assert rates[steps] == pytest.approx(2.0 * floor)
    assert rates[0] > 0


def test_the_cosine_is_half_way_at_half_time_and_stays_at_its_floor() -> None:
    """SGDR, eq. 5: floor + (peak - floor) (1 + cos πt) / 2, here after two steps up."""
    schedule = ScheduleSettings(kind="cosine", warmup_steps=2, final_ratio=0.1)
    rates = [learning_rate(step, 10, 2.0, schedule) for step in (0, 1, 2, 4, 6, 10, 11, 18)]
    quarter = 0.2 + 1.8 * (1 + 2**-0.5) / 2
    assert rates == pytest.approx([1.0, 2.0, 2.0, quarter, 1.1, 0.2, 0.2, 0.2])


def test_a_constant_rate_is_constant_after_its_warm_up() -> None:
    schedule = ScheduleSettings(kind="constant", warmup_steps=4)
    assert [learning_rate(step, 9, 2.0, schedule) for step in (0, 3, 4, 8)] == [0.5, 2.0, 2.0, 2.0]


def test_multistep_halves_at_its_milestones() -> None:
    schedule = ScheduleSettings(kind="multistep", milestones=(10, 20))
    assert [learning_rate(step, 30, 1.0, schedule) for step in (0, 9, 10, 19, 20, 29)] == [
        1,
        1,
        0.5,
        0.5,
        0.25,
        0.25,
    ]


@given(st.integers(0, 2**31), st.integers(0, 10**6))
def test_k_is_a_function_of_seed_and_step(seed: int, step: int) -> None:
    choices = (4, 8, 16)
    drawn = draw_k(seed, step, choices)
    assert drawn in choices
    draw_k(seed + 1, step + 1, choices)  # what else was drawn before plays no part
    assert draw_k(seed, step, choices) == drawn


def test_the_drawn_k_are_pinned() -> None:
    """A run that is continued must draw what it would have drawn: these stay, whatever draws them."""
    assert [draw_k(7, step, (4, 8, 16)) for step in range(8)] == [16, 16, 4, 16, 8, 8, 16, 4]


def test_every_k_is_drawn_and_none_without_choices() -> None:
    assert {draw_k(0, step, (4, 8, 16)) for step in range(100)} == {4, 8, 16}
    assert draw_k(0, 0, ()) is None
