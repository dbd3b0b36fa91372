"""Micro-batches for a training loop, from any position on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.data.batches import BatchSchedule, Phase, data_position_digest
from pipeline.data.budget import check_buffer
from pipeline.data.faults import FaultCounts, FaultPolicy
from pipeline.data.mixture import Datasets, open_datasets
from pipeline.data.parcels import ParcelStream, in_turn
from pipeline.data.stream import MakeSample, SampleStream, StreamItem, StreamSettings
from pipeline.errors import UserError
from pipeline.storage.retry import RETRIES

PARCELS_AHEAD = 2  # of each loader worker


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one rank.

    lq, gt: (B, C, H, W) float32, the network's input and its truth.
    keys, positions: of each sample; the crops of an image share them.
    phase: index of the schedule's phase.
    next_position: when this micro-batch completes an optimizer step, the position to resume from after
        that step; None while more micro-batches of the step follow.
    """

    lq: Tensor
    gt: Tensor
    keys: list[str]
    positions: list[int]
    phase: int
    next_position: int | None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on a device."""
        lq, gt = (tensor.to(device, non_blocking=True) for tensor in (self.lq, self.gt))
        return Batch(lq, gt, self.keys, self.positions, self.phase, self.next_position)


def _as_is(item: Any) -> Any:
    return item


@dataclass
class TrainingStream:
    """Iterate to get this rank's micro-batches, in order. Each iteration begins anew at the start position.

    data_digest: identity of the sequence; a checkpoint keeps it beside the position.
    faults: damage met so far.
    """

    stream: SampleStream
    loader_workers: int
    data_digest: str
    faults: FaultCounts = field(default_factory=FaultCounts)

    def __iter__(self) -> Iterator[Batch]:
        schedule, settings = self.stream.schedule, self.stream.settings
        items: Iterator[StreamItem] = iter(self.stream)
        if self.loader_workers:
            parcels = DataLoader(
                ParcelStream(self.stream),
                batch_size=None,
                num_workers=self.loader_workers,
                collate_fn=_as_is,
                prefetch_factor=PARCELS_AHEAD,
            )
            items = in_turn(iter(parcels), self.loader_workers)
        position, retries = settings.start_position, RETRIES.total
        while (step := schedule.step_at(position)) is not None:
            images = (step.end - step.start) // settings.world_size
            per_batch = schedule.phases[step.phase].micro_batch_size // schedule.crops_per_image
            for first in range(0, images, per_batch):
                taken = [next(items) for _ in range(per_batch)]
                last = first + per_batch == images
                # Each item brings the repeated requests that its loader process counted. Added here are those of this
                # process: the uploads of checkpoints. Without loader processes, the items' counts hold them already.
                if self.loader_workers:
                    before, retries = retries, RETRIES.total
                    self.faults.retries += retries - before
                yield self._collate(taken, step.phase, step.end if last else None)
            position = step.end

    def _collate(self, items: Sequence[StreamItem], phase: int, next_position: int | None) -> Batch:
        samples = [(item, crop) for item in items for crop in item.crops]
        for item in items:
            self.faults.add(item.faults)
            self.faults.retries += item.retries
        return Batch(
            lq=torch.stack([crop["lq"] for _, crop in samples]),
            gt=torch.stack([crop["gt"] for _, crop in samples]),
            keys=[item.key for item, _ in samples],
            positions=[item.position for item, _ in samples],
            phase=phase,
            next_position=next_position,
        )


def open_training_stream(
    datasets: Datasets,
    *,
    make_sample: MakeSample,
    seed: int,
    start_position: int,
    rank: int,
    world_size: int,
    global_batch_size: int,
    micro_batch_size: int,
    streams: int,
    block_size: int,
    loader_workers: int,
    crops_per_image: int = 1,
    faults: FaultPolicy | None = None,
) -> TrainingStream:
    """An endless stream of equal batches; ``open_scheduled_stream`` has the phases and the memory's settings.

    Args:
        datasets: a manifest or its address, or several with whole-number weights.
        make_sample: pixels and a generator to {"lq": (C, h, w), "gt": (C, H, W)} float32 tensors.
        start_position: 0, or the ``next_position`` of the last completed step.
        global_batch_size: samples per optimizer step over all ranks.
        micro_batch_size: samples per forward pass of this rank.
        streams: C of the sample order, a multiple of every world to come.
        block_size: B of the sample order.
        loader_workers: processes that decode and degrade; 0 does it in this one. Any number gives the
            same batches; a divisor of streams / world_size also reads no block twice.

    Raises:
        UserError: numbers that do not fit together, or no dataset at an address.
    """
    phase = Phase(global_batch_size=global_batch_size, micro_batch_size=micro_batch_size)
    settings = StreamSettings(
        seed=seed,
        start_position=start_position,
        rank=rank,
        world_size=world_size,
        streams=streams,
        block_size=block_size,
        faults=faults or FaultPolicy(),
    )
    return open_scheduled_stream(
        datasets,
        make_sample=make_sample,
        schedule=BatchSchedule((phase,), crops_per_image),
        settings=settings,
        loader_workers=loader_workers,
    )


def open_scheduled_stream(
    datasets: Datasets,
    *,
    make_sample: MakeSample,
    schedule: BatchSchedule,
    settings: StreamSettings,
    loader_workers: int,
) -> TrainingStream:
    """A stream whose batch size (and, by ``DecodedSample.phase``, patch size) may change from phase to phase.

    Raises:
        UserError: numbers that do not fit together, blocks that do not fit into memory, or no dataset at an address.
    """
    schedule.check_world(settings.world_size, settings.streams)
    schedule.step_at(settings.start_position)  # refuses a position inside a step
    if not 0 <= settings.rank < settings.world_size:
        raise UserError(f"rank {settings.rank} is not in a world of {settings.world_size}")
    opened = open_datasets(datasets)
    check_buffer(opened, settings, loader_workers)
    digest = data_position_digest(
        opened,
        seed=settings.seed,
        streams=settings.streams,
        block_size=settings.block_size,
        schedule=schedule,
    )
    return TrainingStream(SampleStream(opened, schedule, settings, make_sample), loader_workers, digest)
