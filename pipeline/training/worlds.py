"""The worlds that an elastic run may have: those in which each step is the same step."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import RunConfig
from pipeline.data.batches import allowed_world_sizes
from pipeline.training.phases import training_phases


def allowed_worlds(config: RunConfig) -> list[int]:
    """Numbers of workers from ``min_workers`` to ``max_workers`` that keep the sample order and fill each micro-batch.

    Ascending; both ends are among them in a configuration that pipeline.runs.preflight lets pass.
    """
    training, phases = config.training, training_phases(config)
    batches = [phase.global_batch_size // config.data.crops_per_image for phase in phases]
    return [
        world
        for world in allowed_world_sizes(config.data.streams, batches)
        if training.min_workers <= world <= training.max_workers
        and all(phase.global_batch_size // world % phase.micro_batch(world) == 0 for phase in phases)
    ]


def largest_world(worlds: Sequence[int], workers: float) -> int:
    """The largest of ``worlds`` that ``workers`` workers can make up; 0 when they are too few for any."""
    return max((world for world in worlds if world <= workers), default=0)
