"""One rank's samples, in order, from any position on: an endless ``IterableDataset``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.data.batches import BatchSchedule
from pipeline.data.decoded import DecodedDatasets, is_kept_decoded
from pipeline.data.faults import Fault, FaultPolicy
from pipeline.data.manifest import Manifest, Row
from pipeline.data.mixture import MixedOrder
from pipeline.data.order import sample_generator
from pipeline.data.prefetch import BlockPrefetcher
from pipeline.data.reader import DatasetReader
from pipeline.data.shard_cache import CacheSettings
from pipeline.images.levels import Levels
from pipeline.storage.retry import RETRIES


@dataclass(frozen=True)
class DecodedSample:
    """What a sample is made of: integer pixels (H, W, C) as stored, and where in the run it stands.

    phase: index of the schedule's phase, for patch sizes that grow.
    height: of the stored image. The pixels may be only its upper rows, where a ``RowSaver`` said that they are
        enough; None means that they are all.
    """

    key: str
    position: int
    crop: int
    phase: int
    clean: Levels
    degraded: Levels | None
    height: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the stored image."""
        return self.height or self.clean.shape[0], self.clean.shape[1]


@runtime_checkable
class RowSaver(Protocol):
    """A ``MakeSample`` that knows, before an image is decoded, how far down it will look."""

    def rows_needed(self, height: int, width: int, phase: int, rng: np.random.Generator) -> int:
        """How many rows from the top of a (height, width) image it takes with this fresh generator."""


MakeSample = Callable[[DecodedSample, np.random.Generator], dict[str, Tensor]]


class StreamItem(NamedTuple):
    """All crops of one position, the damage met on the way to it, and how many requests were repeated meanwhile."""

    position: int
    key: str
    crops: list[dict[str, Tensor]]
    faults: tuple[Fault, ...]
    retries: int


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What decides a rank's samples, and the memory it may use.

    streams, block_size: C and B of the sample order.
    start_position: where to begin; the end of some optimizer step.
    decoded_cache_bytes: datasets that decode to no more than this together are kept decoded, once per
        loader worker; larger ones are streamed and each image is decoded when its turn comes.
    blocks_ahead: how many blocks are read ahead of need, per loader worker.
    buffer_bytes: the most that a rank's blocks may hold in memory, encoded, over all its loader workers.
    storage_deadline_s: how long an S3 outage is waited out; None takes the storage's default.
    cache: where shards that were read are kept on local disk; None keeps none.
    """

    seed: int
    start_position: int
    rank: int
    world_size: int
    streams: int
    block_size: int
    decoded_cache_bytes: int = 128 * 2**20
    blocks_ahead: int = 8
    buffer_bytes: int = 4 * 2**30
    storage_deadline_s: float | None = None
    cache: CacheSettings | None = None
    faults: FaultPolicy = field(default_factory=FaultPolicy)


class SampleStream(IterableDataset[StreamItem]):
    """Worker j of n yields the rank's local positions ≡ j (mod n): round-robin over workers is the order."""

    def __init__(
        self,
        datasets: tuple[tuple[Manifest, int], ...],
        schedule: BatchSchedule,
        settings: StreamSettings,
        make_sample: MakeSample,
    ) -> None:
        super().__init__()
        self.datasets = datasets
        self.schedule = schedule
        self.settings = settings
        self.make_sample = make_sample

    def __iter__(self) -> Iterator[StreamItem]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        settings, crops, retries = self.settings, self.schedule.crops_per_image, RETRIES.total
        readers = tuple(
            DatasetReader(manifest, settings.faults, settings.storage_deadline_s, settings.cache)
            for manifest, _ in self.datasets
        )
        order = MixedOrder.of(
            self.datasets, seed=settings.seed, streams=settings.streams, block_size=settings.block_size
        )
        # Once: to ask a runtime protocol costs as much as to crop.
        saver = self.make_sample if isinstance(self.make_sample, RowSaver) else None
        source: DecodedDatasets | BlockPrefetcher
        if is_kept_decoded(self.datasets, settings.decoded_cache_bytes):
            source = DecodedDatasets(readers, order)
        else:
            rows_needed = partial(self._rows_needed, saver)
            source = BlockPrefetcher(readers, order, rows_needed=rows_needed, blocks_ahead=settings.blocks_ahead)
        for position, dataset, pair in source.images(self._positions(number, workers)):
            phase = self.schedule.phase_at(position)
            samples = [
                self.make_sample(
                    DecodedSample(pair.key, position, crop, phase, pair.clean, pair.degraded, pair.height),
                    sample_generator(settings.seed, position, crop),
                )
                for crop in range(crops)
            ]
            before, retries = retries, RETRIES.total
            yield StreamItem(position, pair.key, samples, readers[dataset].news(), retries - before)

    def _rows_needed(self, saver: RowSaver | None, position: int, row: Row) -> int | None:
        if saver is None:
            return None
        phase = self.schedule.phase_at(position)
        return max(
            saver.rows_needed(row.height, row.width, phase, sample_generator(self.settings.seed, position, crop))
            for crop in range(self.schedule.crops_per_image)
        )

    def _positions(self, worker: int, workers: int) -> Iterator[int]:
        # Steps begin at multiples of the world size, so a rank's positions are equally spaced over all phases.
        settings = self.settings
        stride = settings.world_size * workers
        position = settings.start_position + settings.rank + settings.world_size * worker
        end = self.schedule.end_position
        while end is None or position < end:
            yield position
            position += stride
