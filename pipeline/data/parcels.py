"""Several samples in one piece of shared memory, on the way from a loader process to the training process.

To hand over a tensor of any size costs the receiver about a millisecond (a file descriptor over a socket, a mapping).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from pipeline.data.stream import SampleStream, StreamItem

PARCEL_ITEMS = 8


class Parcel(NamedTuple):
    """Items without their crops, the name and shape of each crop's tensors, and all of their values."""

    items: list[StreamItem]
    shapes: list[list[dict[str, torch.Size]]]
    values: Tensor


def pack(items: Sequence[StreamItem]) -> Parcel:
    """Put the tensors of ``items``, all of one data type, into one."""
    tensors = [tensor for item in items for crop in item.crops for tensor in crop.values()]
    return Parcel(
        [item._replace(crops=[]) for item in items],
        [[{name: tensor.shape for name, tensor in crop.items()} for crop in item.crops] for item in items],
        torch.cat([tensor.flatten() for tensor in tensors]),
    )


def unpack(parcel: Parcel) -> Iterator[StreamItem]:
    """The items as they were packed; their tensors share the parcel's memory."""
    sizes = [shape.numel() for crops in parcel.shapes for crop in crops for shape in crop.values()]
    parts = iter(parcel.values.split(sizes))
    for item, crops in zip(parcel.items, parcel.shapes, strict=True):
        yield item._replace(crops=[{name: next(parts).view(shape) for name, shape in crop.items()} for crop in crops])


class ParcelStream(IterableDataset[Parcel]):
    """A sample stream whose items leave a loader worker some at a time."""

    def __init__(self, stream: SampleStream) -> None:
        super().__init__()
        self.stream = stream

    def __iter__(self) -> Iterator[Parcel]:
        items = iter(self.stream)
        while several := list(islice(items, PARCEL_ITEMS)):
            yield pack(several)


def in_turn(parcels: Iterator[Parcel], loader_workers: int) -> Iterator[StreamItem]:
    """One item of each worker in turn, out of one parcel of each worker in turn.

    The last parcels may be short or missing, those of later workers first.
    """
    while each := [unpack(parcel) for parcel in islice(parcels, loader_workers)]:
        yield from (item for item in chain.from_iterable(zip_longest(*each)) if item is not None)
