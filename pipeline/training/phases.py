"""The phases of a recipe made concrete: what each step trains on, and at which learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import RunConfig, ScheduleSettings
from pipeline.data.batches import Phase
from pipeline.training.schedule import learning_rate
from pipeline.workers import micro_batch_size


@dataclass(frozen=True)
class TrainingPhase:
    """``steps`` steps of one patch and batch size. Learning rates count steps from ``rate_start`` to ``rate_steps``.

    A phase with a learning rate or schedule of its own counts its own steps; the others share the run's schedule
    over all steps, so that progressive patches leave one cosine whole.
    """

    first_step: int
    steps: int
    patch_size: int
    global_batch_size: int
    micro_batch_size: int | None
    peak: float
    schedule: ScheduleSettings
    rate_start: int
    rate_steps: int
    largest_world: int | None  # None: the world is what it is
    crops_per_image: int

    def micro_batch(self, world_size: int) -> int:
        """Samples of one forward and backward pass on one of ``world_size`` workers."""
        largest = self.largest_world or world_size
        return self.micro_batch_size or micro_batch_size(
            self.global_batch_size, world_size, largest, self.crops_per_image
        )

    def data_phase(self, world_size: int) -> Phase:
        """As the sample order wants it."""
        return Phase(
            steps=self.steps,
            global_batch_size=self.global_batch_size,
            micro_batch_size=self.micro_batch(world_size),
        )


def training_phases(config: RunConfig) -> tuple[TrainingPhase, ...]:
    """The phases of ``config``; one without ``training.phases``. What a phase leaves out is the run's."""
    training = config.training
    phases, first = [], 0
    for given in training.phases or (None,):
        steps = given.steps if given else training.steps
        own_rate = given is not None and (given.learning_rate is not None or given.schedule is not None)
        phases.append(
            TrainingPhase(
                first_step=first,
                steps=steps,
                patch_size=(given and given.patch_size) or config.data.patch_size,
                global_batch_size=(given and given.global_batch_size) or training.global_batch_size,
                micro_batch_size=(given and given.micro_batch_size) or training.micro_batch_size,
                peak=(given and given.learning_rate) or training.learning_rate,
                schedule=(given and given.schedule) or training.schedule,
                rate_start=first if own_rate else 0,
                rate_steps=steps if own_rate else training.steps,
                largest_world=training.max_workers if training.elastic else None,
                crops_per_image=config.data.crops_per_image,
            )
        )
        first += steps
    return tuple(phases)


def phase_of(phases: Sequence[TrainingPhase], step: int) -> TrainingPhase:
    """The phase of optimizer step ``step`` (0-based); the last one from the end on."""
    return max((phase for phase in phases if phase.first_step <= step), key=lambda phase: phase.first_step)


def learning_rate_at(phases: Sequence[TrainingPhase], step: int) -> float:
    """Learning rate of optimizer step ``step`` (0-based)."""
    phase = phase_of(phases, step)
    return learning_rate(step - phase.rate_start, phase.rate_steps, phase.peak, phase.schedule)
