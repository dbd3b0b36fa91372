"""Numbers of workers: which are read, and what each worker takes of a batch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.workers import micro_batch_size, nearest_worlds, read_workers

small = st.integers(1, 12)


@given(small, small, small, small)
def test_micro_batches_fill_the_batch_in_any_world_and_never_outgrow_the_largest(
    world: int, largest: int, images: int, crops: int
) -> None:
    assume(world <= largest)
    batch = world * largest * images * crops
    micro, most = micro_batch_size(batch, world, largest, crops), micro_batch_size(batch, largest, largest, crops)
    assert batch // world % micro == 0
    assert micro % crops == 0
    assert micro <= most == batch // largest
    assert micro_batch_size(batch, world, world, crops) == batch // world


@given(st.lists(small, min_size=1, unique=True).map(sorted), small)
def test_the_nearest_are_the_neighbors(allowed: list[int], world: int) -> None:
    assume(world not in allowed)
    near = [int(text) for text in nearest_worlds(allowed, world).split(" or ")]
    assert set(near) <= set(allowed)
    assert not any(low < other < high for other in allowed for low, high in [sorted((world, n)) for n in near])


def test_a_world_is_no_neighbor_of_its_own() -> None:
    assert [nearest_worlds([1, 2, 4], world) for world in (1, 2, 4)] == ["2", "1 or 4", "2"]


@pytest.mark.parametrize(
    ("value", "read"),
    [(1, 1), (4, 4), ([3], 3), ([2, 8], (2, 8)), ((1, 2), (1, 2)), ([5, 5], 5), ([1, 1], 1)],
)
def test_a_number_or_a_range_is_read(value: Any, read: Any) -> None:
    assert read_workers(value) == read


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "a whole number, or"),
        ([1, 2, 3], "a whole number, or"),
        ("4", "a whole number, or"),
        (True, "a whole number, or"),
        (2.0, "a whole number, or"),
        ([1, "2"], "a whole number, or"),
        (0, "at least 1 worker"),
        ([0, 4], "at least 1 worker"),
        ([3, 2], "the minimum 3 is above the maximum 2"),
    ],
)
def test_what_is_neither_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_workers(value)


def test_the_crops_of_an_image_are_one_unless_said() -> None:
    assert micro_batch_size(24, 2, 4) == micro_batch_size(24, 2, 4, 1) == 6
    assert micro_batch_size(1, 2, 2) == 1  # fewer images than workers: one each, which the world's check refuses later
