"""Blocks of samples read ahead in background threads, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from pipeline.data.manifest import Row
from pipeline.data.mixture import MixedOrder
from pipeline.data.order import Place
from pipeline.data.reader import Cell, DatasetReader, Span
from pipeline.data.spans import ImagePair

Block = tuple[int, int, int]


class Upcoming(NamedTuple):
    """A position on its way: where its sample lies."""

    position: int
    dataset: int
    place: Place


class BlockPrefetcher:
    """Pixels for an endless run of positions, in order.

    Each stream's current block stays in memory, encoded, until the stream moves on; up to
    ``blocks_ahead`` further blocks are being read. So the bytes held are about (streams served +
    blocks_ahead) · block_size · mean sample.

    Args:
        readers: one per dataset.
        order: where each position's sample lies.
        rows_needed: (position, row) to how many pixel rows of the image it takes; None means all.
        blocks_ahead: how many blocks are read ahead of need.
        threads: how many read at the same time.
    """

    def __init__(
        self,
        readers: tuple[DatasetReader, ...],
        order: MixedOrder,
        *,
        rows_needed: Callable[[int, Row], int | None],
        blocks_ahead: int = 8,
        threads: int = 4,
    ) -> None:
        self._readers = readers
        self._order = order
        self._rows_needed = rows_needed
        self._blocks_ahead = blocks_ahead
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="shard-reader")
        # (dataset, stream) -> its blocks in the order they will be used; the first is the current one.
        self._blocks: dict[tuple[int, int], deque[tuple[Block, Future[dict[Cell, Span]]]]] = {}

    def images(self, positions: Iterable[int]) -> Iterator[tuple[int, int, ImagePair]]:
        """(position, dataset, pixels) of each position."""
        source = iter(positions)
        waiting: deque[Upcoming] = deque()
        ahead = 0  # blocks requested that no yielded position has reached yet
        reached: set[tuple[int, Block]] = set()
        try:
            while True:
                while ahead < self._blocks_ahead or not waiting:
                    position = next(source, None)
                    if position is None:
                        break
                    dataset, place = self._order.place(position)
                    waiting.append(Upcoming(position, dataset, place))
                    ahead += self._request(dataset, place.block)
                    if len(waiting) >= self._blocks_ahead * self._order.orders[0].block_size * 4:
                        break
                if not waiting:
                    return
                item = waiting.popleft()
                mark = (item.dataset, item.place.block)
                if mark not in reached:
                    reached.add(mark)
                    ahead -= 1
                yield item.position, item.dataset, self._take(item, reached)
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for reader in self._readers:
                reader.close()

    def _request(self, dataset: int, block: Block) -> int:
        queue = self._blocks.setdefault((dataset, block[1]), deque())
        if any(known == block for known, _ in queue):
            return 0
        cells = self._order.orders[dataset].block(block)
        queue.append((block, self._pool.submit(self._readers[dataset].fetch, cells)))
        return 1

    def _take(self, item: Upcoming, reached: set[tuple[int, Block]]) -> ImagePair:
        queue = self._blocks[item.dataset, item.place.block[1]]
        while queue[0][0] != item.place.block:
            passed, _ = queue.popleft()
            reached.discard((item.dataset, passed))
        cell = (item.place.shard, item.place.row)
        spans = queue[0][1].result()
        return self._readers[item.dataset].decode(cell, spans[cell], partial(self._rows_needed, item.position))
