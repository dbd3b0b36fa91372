"""How positions become optimizer steps: global batches, phases of a progressive schedule, and allowed worlds.

A global batch is the next G / m positions (m crops of each image make G samples); rank r of W takes
those with P mod W = r. So the sequence of global batches does not depend on W, as long as W divides C
and every G / m.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.data.manifest import Manifest
from pipeline.data.order import ORDER_VERSION
from pipeline.errors import UserError
from pipeline.workers import nearest_worlds


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the run with one batch size.

    steps: how many optimizer steps it lasts; None, allowed for the last phase only, means without end.
    global_batch_size: G, samples per optimizer step over all ranks.
    micro_batch_size: samples per forward pass of one rank; G / (micro_batch_size · W) passes make a step.
    """

    global_batch_size: int
    micro_batch_size: int
    steps: int | None = None


@dataclass(frozen=True)
class Step:
    """One optimizer step's positions: [start, end), and the index of its phase."""

    start: int
    end: int
    phase: int


@dataclass(frozen=True)
class BatchSchedule:
    """The phases of a run, and the crops taken of each image.

    Raises:
        UserError: no phase, sizes below 1, a batch that is no whole number of images, an endless phase before others.
    """

    phases: tuple[Phase, ...]
    crops_per_image: int = 1

    def __post_init__(self) -> None:
        if not self.phases:
            raise UserError("the training schedule has no phase; give at least one")
        m = self.crops_per_image
        for number, phase in enumerate(self.phases):
            no_step = phase.steps is not None and phase.steps < 1
            if min(phase.global_batch_size, phase.micro_batch_size, m) < 1 or no_step:
                raise UserError(f"{phase} with crops_per_image {m}: every number must be at least 1")
            for name in ("global_batch_size", "micro_batch_size"):
                if getattr(phase, name) % m:
                    below = getattr(phase, name) // m * m
                    raise UserError(
                        f"{name} {getattr(phase, name)} is not a multiple of crops_per_image {m}: the crops of an image"
                        f" share a micro-batch; the nearest: {f'{below} or ' if below else ''}{below + m}"
                    )
            if phase.steps is None and number < len(self.phases) - 1:
                raise UserError(f"phase {number} has no number of steps, but another phase follows; set its steps")

    @property
    def batch_positions(self) -> tuple[int, ...]:
        """Per phase: how many positions (images) one global batch takes."""
        return tuple(phase.global_batch_size // self.crops_per_image for phase in self.phases)

    def step_at(self, position: int) -> Step | None:
        """The step that starts at a position; None when the schedule ends there.

        Raises:
            UserError: the position lies inside a step.
        """
        start = 0
        for number, (phase, size) in enumerate(zip(self.phases, self.batch_positions, strict=True)):
            inside = position - start
            if phase.steps is None or inside < phase.steps * size:
                if inside < 0 or inside % size:
                    raise UserError(
                        f"position {position} lies inside a global batch of {size} positions;"
                        f" resume where a step ended, such as {position - inside % size}"
                    )
                return Step(position, position + size, number)
            start += phase.steps * size
        return None

    @property
    def end_position(self) -> int | None:
        """The position after the last step; None when the last phase is endless."""
        end = 0
        for phase, size in zip(self.phases, self.batch_positions, strict=True):
            if phase.steps is None:
                return None
            end += phase.steps * size
        return end

    def phase_at(self, position: int) -> int:
        """The index of the phase a position belongs to; the last one for positions past the end."""
        end = 0
        for number, (phase, size) in enumerate(zip(self.phases, self.batch_positions, strict=True)):
            if phase.steps is None or position < (end := end + phase.steps * size):
                return number
        return len(self.phases) - 1

    def check_world(self, world_size: int, streams: int) -> None:
        """Refuse a world that would change the sequence, or that micro-batches do not fill.

        Raises:
            UserError: names the nearest allowed world, or the batch that does not fit.
        """
        check_world_size(world_size, streams, self.batch_positions, self.crops_per_image)
        for phase in self.phases:
            per_rank = phase.global_batch_size // world_size
            if per_rank % phase.micro_batch_size:
                raise UserError(
                    f"micro_batch_size {phase.micro_batch_size} does not divide the {per_rank} samples that"
                    f" each of {world_size} ranks has of a global batch of {phase.global_batch_size}"
                )


def allowed_world_sizes(streams: int, global_batch_size: int | Sequence[int]) -> list[int]:
    """The worlds that keep the sequence: divisors of gcd(C, every phase's positions per batch), ascending."""
    sizes = [global_batch_size] if isinstance(global_batch_size, int) else list(global_batch_size)
    common = math.gcd(streams, *sizes)
    return [world for world in range(1, common + 1) if common % world == 0]


def check_world_size(
    world_size: int, streams: int, global_batch_size: int | Sequence[int], crops_per_image: int = 1
) -> None:
    """Refuse a world size that would change the sequence of batches, whose sizes are in images.

    Raises:
        UserError: names the nearest allowed sizes.
    """
    allowed = allowed_world_sizes(streams, global_batch_size)
    if world_size in allowed:
        return
    sizes = [global_batch_size] if isinstance(global_batch_size, int) else list(dict.fromkeys(global_batch_size))
    batches = " and of ".join(str(size * crops_per_image) for size in sizes)  # in samples, as they were configured
    cropped = f", {crops_per_image} of each image" if crops_per_image > 1 else ""
    raise UserError(
        f"a world of {world_size} ranks does not divide {streams} streams and a global batch of"
        f" {batches} samples{cropped}; the nearest allowed: {nearest_worlds(allowed, world_size)}"
    )


def data_position_digest(
    datasets: Sequence[tuple[Manifest, int]], *, seed: int, streams: int, block_size: int, schedule: BatchSchedule
) -> str:
    """SHA-256 over everything that, with a position, decides the data still to come.

    A checkpoint keeps (position, this digest); a run with another digest would not continue the same
    sequence. The micro-batch size is left out: it may change with the world.
    """
    identity = {
        "order_version": ORDER_VERSION,
        "datasets": [[manifest.digest, weight] for manifest, weight in datasets],
        "seed": seed,
        "streams": streams,
        "block_size": block_size,
        "crops_per_image": schedule.crops_per_image,
        "phases": [[phase.steps, phase.global_batch_size] for phase in schedule.phases],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
