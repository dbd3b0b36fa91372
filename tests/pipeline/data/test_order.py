from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.order import SampleOrder, sample_generator, weight_cycle

PINNED_EPOCHS = [
    (0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (2, 0), (1, 1), (1, 3), (0, 2),
    (0, 0), (1, 0), (1, 2), (2, 1), (0, 2), (1, 1), (1, 3), (2, 0), (0, 1),
    (0, 2), (2, 0), (0, 1), (1, 2), (1, 1), (2, 1), (0, 0), (1, 3), (1, 0),
]  # fmt: skip
# Positions 2, 1 and 0 before 300,012,345, of 100,000 shards with 1,000 samples each.
PINNED_LATE = {2: (51171, 6), 1: (57623, 829), 0: (52704, 744)}
PINNED_WORD = 11038707185330290059

shard_tables = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)
orders = st.builds(
    SampleOrder,
    shard_tables.map(np.array),
    st.integers(0, 2**64 - 1),
    st.sampled_from([1, 2, 3, 8, 64]),
    st.integers(1, 12),
)


def cells(order: SampleOrder, first: int, count: int) -> list[tuple[int, int]]:
    return [(place.shard, place.row) for place in map(order.place, range(first, first + count))]


@given(orders, st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_an_epoch_holds_every_sample_exactly_once(order, epoch):
    seen = cells(order, epoch * order.num_samples, order.num_samples)
    every = [(shard, row) for shard, count in enumerate(order.samples_per_shard) for row in range(count)]
    assert sorted(seen) == every


@given(orders, st.integers(0, 500))
@settings(max_examples=100, deadline=None)
def test_a_block_lists_the_samples_of_its_positions_in_order(order, position):
    block = order.place(position).block
    own = list(range(position % order.streams, position + order.streams * 13, order.streams))
    inside = [(place.shard, place.row) for place in map(order.place, own) if place.block == block]
    assert order.block(block) == inside
    assert len(inside) <= order.block_size


@given(orders)
@settings(max_examples=50, deadline=None)
def test_a_block_is_contiguous_in_each_shard(order):
    by_shard: dict[int, list[int]] = {}
    for shard, row in order.block(order.place(0).block):
        by_shard.setdefault(shard, []).append(row)
    for rows in by_shard.values():
        assert sorted(rows) == list(range(min(rows), min(rows) + len(rows)))


@given(orders, st.lists(st.integers(0, 10**15), min_size=1, max_size=8), st.integers(0, 10**15))
@settings(max_examples=100, deadline=None)
def test_a_position_is_found_alike_whatever_was_looked_up_before(order, earlier, position):
    earlier += [position + step * order.num_samples for step in (-2, -1, 1, 2) if position >= 2 * order.num_samples]
    found = {at: order.place(at) for at in [*earlier, position]}
    for at in reversed(found):
        assert order.place(at) == found[at], "asked again, backward"
        fresh = SampleOrder(order.samples_per_shard, order.seed, order.streams, order.block_size)
        assert fresh.place(at) == found[at], "an order that is asked this alone"


def test_epochs_and_seeds_differ():
    table = np.array([10, 10, 10])
    order, other = SampleOrder(table, 0, 8, 4), SampleOrder(table, 1, 8, 4)
    epochs = [cells(order, 30 * number, 30) for number in range(4)] + [cells(other, 0, 30)]
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_five_images_and_many_streams_are_still_shuffled():
    order = SampleOrder(np.array([5]), 0, 64, 16)
    firsts = [order.place(5 * epoch).row for epoch in range(60)]
    assert set(firsts) == set(range(5))


def test_the_order_is_pinned():
    # A change here means another sequence for every run: raise ORDER_VERSION with it.
    order = SampleOrder(np.array([3, 4, 2]), 42, 4, 2)
    assert cells(order, 0, 27) == PINNED_EPOCHS
    assert sample_generator(42, 7, 1).bit_generator.random_raw() == PINNED_WORD
    assert [weight_cycle(3, stream, (2, 1, 3)).tolist() for stream in (5, 6)] == [
        [0, 0, 1, 2, 2, 2],
        [2, 1, 2, 0, 0, 2],
    ]


def test_the_first_crop_is_meant_where_none_is_named():
    unnamed, first = sample_generator(42, 7), sample_generator(42, 7, 0)
    assert unnamed.bit_generator.random_raw() == first.bit_generator.random_raw()


def test_the_last_three_epochs_are_kept_and_no_more():
    order = SampleOrder(np.array([3, 4, 2]), 42, 4, 2)
    epochs = [order.epoch(number) for number in range(4)]
    assert [order.epoch(number) is epochs[number] for number in (3, 2, 1, 0)] == [True, True, True, False]


def test_counts_of_any_width_become_numbers_of_64_bits():
    order = SampleOrder(np.array([3, 4, 2], np.int32), 42, 4, 2)
    arrays = [order.samples_per_shard, *vars(order.epoch(1)).values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.int64)}


def test_a_batch_mixes_far_apart_samples():
    order = SampleOrder(np.full(100, 100), 0, 64, 32)
    shards = {place.shard for place in map(order.place, range(64))}
    assert len(shards) > 32


def test_streams_do_not_all_change_block_at_once():
    order = SampleOrder(np.full(64, 1000), 0, 64, 16)
    changes = [
        sum(order.place(row * 64 + c).block != order.place((row + 1) * 64 + c).block for c in range(64))
        for row in range(100, 116)
    ]
    assert max(changes) <= 8
    assert sum(changes) >= 60


def test_generators_differ_by_seed_position_and_crop():
    words = {
        sample_generator(seed, position, crop).bit_generator.random_raw()
        for seed in (0, 1, 2**64 - 1)
        for position in (0, 1, 10**12)
        for crop in (0, 1, 7)
    }
    assert len(words) == 27


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple), st.integers(0, 100))
def test_a_cycle_keeps_the_weights(weights, stream):
    assert np.bincount(weight_cycle(3, stream, weights), minlength=len(weights)).tolist() == list(weights)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        SampleOrder(np.array([0, 0]), 0, 4, 4)
    for seed, streams, block_size in ((0, 0, 4), (0, 4, 0), (-1, 4, 4), (2**64, 4, 4)):
        with pytest.raises(ValueError, match="must be at least 1"):
            SampleOrder(np.array([3]), seed, streams, block_size)
    for seed in (0, 2**64 - 1):
        assert SampleOrder(np.array([1]), seed, 1, 1).place(0).row == 0


def test_a_hundred_million_samples_need_only_the_shard_table():
    order = SampleOrder(np.full(100_000, 1_000), 0, 1_024, 64)
    assert order.num_samples == 10**8
    late = 10**8 * 3 + 12_345
    for epoch in (0, 7, 2, 4, 1):  # an order that has been elsewhere, later epochs first
        order.place(10**8 * epoch + 12_345)
    assert {n: cells(order, late - n, 1)[0] for n in (2, 1, 0)} == PINNED_LATE
    assert order.place(late) != order.place(late - 10**8), "every epoch has an order of its own"
    held = sum(array.nbytes for array in vars(order.epoch(3)).values())
    assert held < 2_000_000
