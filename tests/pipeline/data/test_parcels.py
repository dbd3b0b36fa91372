"""Samples leave a loader process as they were made, and in turn."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.data.parcels import PARCEL_ITEMS, in_turn, pack, unpack
from pipeline.data.stream import StreamItem


def item(position: int, crops: list[dict[str, Tensor]]) -> StreamItem:
    return StreamItem(position, f"image-{position}", crops, (), position)


@given(st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3), min_size=1))
def test_unpacked_items_are_what_was_packed(sizes: list[list[tuple[int, int]]]) -> None:
    generator = torch.Generator().manual_seed(0)
    items = [
        item(
            position,
            [
                {"lq": torch.rand(3, h, w, generator=generator), "gt": torch.rand(3, 2 * h, 2 * w, generator=generator)}
                for h, w in crops
            ],
        )
        for position, crops in enumerate(sizes)
    ]
    unpacked = list(unpack(pack(items)))
    assert [found._replace(crops=[]) for found in unpacked] == [made._replace(crops=[]) for made in items]
    for found, made in zip(unpacked, items, strict=True):
        for crop, expected in zip(found.crops, made.crops, strict=True):
            assert crop.keys() == expected.keys()
            assert all(torch.equal(crop[name], expected[name]) for name in expected)


@given(count=st.integers(0, 60), workers=st.integers(1, 5))
def test_items_of_all_workers_come_in_the_order_of_their_positions(count: int, workers: int) -> None:
    """Also at a schedule's end, where parcels are short or missing."""
    shares = [[item(at, [{"lq": torch.zeros(1)}]) for at in range(count)[worker::workers]] for worker in range(workers)]
    parcels = [
        pack(share[first : first + PARCEL_ITEMS])
        for first in range(0, count, PARCEL_ITEMS)
        for share in shares
        if first < len(share)
    ]
    assert [found.position for found in in_turn(iter(parcels), workers)] == list(range(count))
