from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.data.manifest import DatasetSummary, Manifest
from pipeline.data.mixture import MixedOrder, mixture_digest, open_datasets
from pipeline.data.order import SampleOrder
from pipeline.errors import UserError

A: Any = SimpleNamespace(digest="aa", samples_per_shard=np.array([4, 3]), uri="a")
B: Any = SimpleNamespace(digest="bb", samples_per_shard=np.array([4, 3]), uri="b")


def test_the_digest_of_a_mixture_names_each_set_its_weight_and_their_order() -> None:
    assert mixture_digest([(A, 1)]) == mixture_digest([(A, 7)]) == "aa"
    # The form is pinned: runs are continued by it.
    assert mixture_digest([(A, 2), (B, 1)]) == hashlib.sha256(b'[["aa",2],["bb",1]]').hexdigest()
    others = [[(A, 1), (B, 1)], [(A, 2), (B, 2)], [(B, 1), (A, 2)], [(A, 2), (A, 1)], [(A, 2)]]
    digests = {mixture_digest(each) for each in [[(A, 2), (B, 1)], *others]}
    assert len(digests) == 6


def test_each_set_is_ordered_by_a_seed_of_its_own() -> None:
    """Two equal sets under one seed would show the same image twice in a row for the whole run."""
    order = MixedOrder.of([(A, 1), (B, 1)], seed=5, streams=1, block_size=2)
    first, second = ([(p.shard, p.row) for p in map(one.place, range(21))] for one in order.orders)
    assert sorted(first) == sorted(second)
    assert first != second
    for number, seed in enumerate((5, 6)):
        alone = SampleOrder(A.samples_per_shard, seed, 1, 2)
        assert [order.orders[number].place(n) for n in range(21)] == [alone.place(n) for n in range(21)]
    largest = MixedOrder.of([(A, 1), (B, 1)], seed=2**64 - 1, streams=1, block_size=2)
    assert [largest.orders[1].place(n) for n in range(7)] == [
        MixedOrder.of([(A, 1)], seed=0, streams=1, block_size=2).orders[0].place(n) for n in range(7)
    ]


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (2, 5)])
def test_every_set_keeps_its_own_epochs_whatever_the_weights(weights: tuple[int, int]) -> None:
    order = MixedOrder.of([(A, weights[0]), (B, weights[1])], seed=5, streams=4, block_size=2)
    rows = 7 * sum(weights)  # whole cycles, and whole epochs of both sets in every stream
    placed = [order.place(position) for position in range(4 * rows)]
    for number in (0, 1):
        own = [(place.shard, place.row) for dataset, place in placed if dataset == number]
        assert len(own) == 4 * 7 * weights[number]
        counts = {cell: own.count(cell) for cell in own}
        assert set(counts.values()) == {4 * weights[number]}


@pytest.mark.parametrize("weight", [0, -1, 1.5, "2"])
def test_a_weight_that_is_no_whole_number_from_1_is_refused(weight: Any) -> None:
    for dataset, name in (("s3://nowhere/a", "s3://nowhere/a"), (B, "b")):
        with pytest.raises(UserError, match=f"dataset '{name}' has weight .*; weights are whole numbers from 1"):
            open_datasets([(A, 1), (dataset, weight)])
    with pytest.raises(UserError, match="name at least one"):
        open_datasets([])


def test_a_set_alone_has_weight_1_and_what_is_open_is_taken_as_it_is() -> None:
    """Written as a mixture of one it is the same data: a cycle of one row, not of two."""
    summary = DatasetSummary((), 1, 1, 0, has_degraded=False, fingerprint="")
    alone = Manifest("a", summary, "aa")
    assert open_datasets(alone) == ((alone, 1),)
    assert open_datasets([(alone, 3), (alone, 2)]) == ((alone, 3), (alone, 2))
