"""Several datasets as one endless sequence: who stands at a position, in closed form.

In each stream a seeded cycle of the integer weights says which dataset the next row takes. The n-th row of stream c
that falls to a dataset is that dataset's own position n·C + c, so each dataset keeps its own complete epochs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pipeline.data.manifest import Manifest, open_manifest
from pipeline.data.order import Place, SampleOrder, weight_cycle
from pipeline.errors import UserError

Datasets = Manifest | str | Sequence[tuple[Manifest | str, int]]


def open_datasets(datasets: Datasets) -> tuple[tuple[Manifest, int], ...]:
    """Manifests with their weights; one dataset alone has weight 1.

    Raises:
        UserError: nothing given, a weight below 1, or no dataset at an address.
    """
    if isinstance(datasets, Manifest | str):
        return ((open_manifest(datasets), 1),)
    if not datasets:
        raise UserError("no dataset given; name at least one")
    for dataset, weight in datasets:
        if not isinstance(weight, int) or weight < 1:
            name = dataset if isinstance(dataset, str) else dataset.uri
            raise UserError(f"dataset {name!r} has weight {weight!r}; weights are whole numbers from 1")
    return tuple((open_manifest(dataset), weight) for dataset, weight in datasets)


def mixture_digest(datasets: Sequence[tuple[Manifest, int]]) -> str:
    """Identity of the data of weighted datasets; of one alone, that dataset's own digest."""
    if len(datasets) == 1:
        return datasets[0][0].digest
    table = [[manifest.digest, weight] for manifest, weight in datasets]
    return hashlib.sha256(json.dumps(table, separators=(",", ":")).encode()).hexdigest()


class MixedOrder:
    """The order of weighted datasets: ``place(P)`` says which dataset, shard and row stand at P."""

    def __init__(self, orders: Sequence[SampleOrder], weights: Sequence[int], seed: int) -> None:
        self.orders = tuple(orders)
        self.weights = tuple(weights)
        self.streams = orders[0].streams
        self._cycle = lru_cache(maxsize=None)(lambda stream: self._counted_cycle(seed, stream))

    @classmethod
    def of(cls, datasets: Sequence[tuple[Manifest, int]], *, seed: int, streams: int, block_size: int) -> MixedOrder:
        """The order of opened datasets. Each dataset has a seed of its own."""
        orders = [
            SampleOrder(manifest.samples_per_shard, (seed + number) % 2**64, streams, block_size)
            for number, (manifest, _) in enumerate(datasets)
        ]
        return cls(orders, [weight for _, weight in datasets], seed)

    def place(self, position: int) -> tuple[int, Place]:
        """(dataset, place of the sample in it)."""
        row, stream = divmod(position, self.streams)
        cycle, earlier = self._cycle(stream)
        turns, at = divmod(row, len(cycle))
        dataset = int(cycle[at])
        own_row = turns * self.weights[dataset] + int(earlier[at])
        return dataset, self.orders[dataset].place(own_row * self.streams + stream)

    def _counted_cycle(self, seed: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
        cycle = weight_cycle(seed, stream, self.weights)
        # How often the dataset at each place stood earlier in the cycle.
        earlier = np.array([np.count_nonzero(cycle[:at] == cycle[at]) for at in range(len(cycle))])
        return cycle, earlier
