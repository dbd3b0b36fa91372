"""Numbers of workers: which are read, and what each worker takes of a batch."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.workers import micro_batch_size, nearest_worlds

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
def test_the_nearest_are_the_neighbours(allowed: list[int], world: int) -> None:
    assume(world not in allowed)
    near = [int(text) for text in nearest_worlds(allowed, world).split(" or ")]
    assert set(near) <= set(allowed)
    assert not any(low < other < high for other in allowed for low, high in [sorted((world, n)) for n in near])
