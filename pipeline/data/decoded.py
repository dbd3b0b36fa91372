"""Small datasets wholly decoded in memory: each image is read and decoded once per process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.data.manifest import Manifest
from pipeline.data.mixture import MixedOrder
from pipeline.data.reader import Cell, DatasetReader
from pipeline.data.spans import ImagePair


def is_kept_decoded(datasets: Sequence[tuple[Manifest, int]], limit_bytes: int) -> bool:
    """Whether weighted datasets decode to at most ``limit_bytes`` together: kept decoded, not streamed."""
    return sum(manifest.summary.decoded_bytes for manifest, _ in datasets) <= limit_bytes


class DecodedDatasets:
    """Pixels for an endless run of positions; holds every image it has met, so use it only when all fit."""

    def __init__(self, readers: tuple[DatasetReader, ...], order: MixedOrder) -> None:
        self._readers = readers
        self._order = order
        self._decoded: dict[tuple[int, Cell], ImagePair] = {}

    def images(self, positions: Iterable[int]) -> Iterator[tuple[int, int, ImagePair]]:
        """(position, dataset, pixels) of each position."""
        for position in positions:
            dataset, place = self._order.place(position)
            cell = (place.shard, place.row)
            pair = self._decoded.get((dataset, cell))
            if pair is None:
                reader = self._readers[dataset]
                pair = reader.decode(cell, reader.fetch([cell])[cell])
                self._decoded[dataset, cell] = pair
            yield position, dataset, pair
