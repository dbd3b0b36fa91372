"""Lost, doubled, moved: counted on epochs that were taken apart in known ways."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.benchmarks.peers.compare import Comparison, compare, merge_ranks

BATCH = 3


@st.composite
def epochs(draw: st.DrawFn) -> tuple[list[str], list[list[str]], int]:
    """All keys, the steps of a whole epoch, and after how many of them it is stopped."""
    steps = draw(st.integers(2, 12))
    keys = [f"k{number}" for number in range(steps * BATCH)]
    order = draw(st.permutations(keys))
    cut = draw(st.integers(1, steps - 1))
    return keys, [order[at : at + BATCH] for at in range(0, len(order), BATCH)], cut


@given(epochs())
def test_an_epoch_that_goes_on_where_it_stopped_is_exact(epoch) -> None:
    keys, whole, cut = epoch
    assert compare(keys, whole, [*whole[:cut], *whole[cut:]]) == Comparison(0, 0, 0)
    assert compare(keys, whole, whole).exact


@given(epochs(), st.randoms())
def test_the_order_inside_a_step_counts_for_nothing(epoch, chance: random.Random) -> None:
    keys, whole, _ = epoch
    assert compare(keys, whole, [chance.sample(step, len(step)) for step in whole]).exact


@given(epochs())
def test_an_epoch_begun_anew_doubles_what_was_trained_on_and_delays_the_rest(epoch) -> None:
    keys, whole, cut = epoch
    found = compare(keys, whole, [*whole[:cut], *whole])
    assert (found.lost, found.doubled, found.moved) == (0, cut * BATCH, len(keys) - cut * BATCH)


@given(epochs(), st.integers(1, 3))
def test_steps_passed_over_are_lost_and_the_rest_moves(epoch, passed: int) -> None:
    keys, whole, cut = epoch
    rest = whole[cut + passed :]
    found = compare(keys, whole, [*whole[:cut], *rest])
    assert found.lost == len(keys) - (cut + len(rest)) * BATCH
    assert (found.doubled, found.moved) == (0, len(rest) * BATCH)


@given(epochs(), st.randoms())
def test_another_order_of_the_same_samples_loses_and_doubles_none(epoch, chance: random.Random) -> None:
    keys, whole, cut = epoch
    rest = [key for step in whole[cut:] for key in step]
    chance.shuffle(rest)
    mixed = [rest[at : at + BATCH] for at in range(0, len(rest), BATCH)]
    found = compare(keys, whole, [*whole[:cut], *mixed])
    assert (found.lost, found.doubled) == (0, 0)
    expected = sum(len(set(step) - set(other)) for step, other in zip(mixed, whole[cut:], strict=True))
    assert found.moved == expected


@given(epochs())
def test_what_no_data_set_holds_is_foreign(epoch) -> None:
    keys, whole, _ = epoch
    assert compare(keys, whole, [*whole, ["other"]]) == Comparison(0, 0, 0, foreign=1)


def test_an_epoch_ends_with_the_consumer_that_ends_first() -> None:
    assert merge_ranks([[["a"], ["b"]], [["c"], ["d"], ["e"]]]) == [["a", "c"], ["b", "d"]]
    assert merge_ranks([[], [["c"]]]) == []
