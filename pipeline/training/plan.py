"""A run's configuration made concrete: its task, model and sample stream, built the same way on every rank."""

from __future__ import annotations

from functools import cached_property

import torch

import semanir
from pipeline.config import RunConfig
from pipeline.data.faults import FaultPolicy
from pipeline.data.loader import TrainingStream, open_scheduled_stream
from pipeline.data.manifest import Manifest
from pipeline.data.mixture import open_datasets
from pipeline.data.patches import make_patch_sampler
from pipeline.data.schedule import Phase, Schedule, data_position_digest
from pipeline.data.stream import StreamSettings
from pipeline.errors import UserError
from pipeline.tasks import TASKS
from pipeline.training.context import WorkerContext


class TrainingPlan:
    """What ``config`` means for the worker ``context``: nothing here depends on anything but the two."""

    def __init__(self, config: RunConfig, context: WorkerContext) -> None:
        self.config, self.context = config, context
        self.task = TASKS[config.task]
        self.setting = self.task.parse_settings(config.setting)
        self.loss = config.training.loss or self.task.loss
        self.model_config = model_config(config)

    @cached_property
    def datasets(self) -> tuple[tuple[Manifest, int], ...]:
        """The training sets with their weights, opened."""
        return open_datasets(list(self.config.data.train_sets.items()))

    @cached_property
    def schedule(self) -> Schedule:
        """How positions become this world's steps and micro-batches."""
        training, world_size = self.config.training, self.context.world_size
        phase = Phase(
            steps=training.steps,
            global_batch_size=training.global_batch_size,
            micro_batch_size=training.micro_batch(world_size),
        )
        return Schedule((phase,), self.config.data.crops_per_image)

    def build_model(self) -> semanir.SemanIR:
        """A fresh model, with the same initial weights on every rank and at every start."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return semanir.build_model(self.model_config)

    @cached_property
    def data_digest(self) -> str:
        """Identity of the sample order: with equal digests, a position is the same sample."""
        data = self.config.data
        return data_position_digest(
            self.datasets,
            seed=self.config.seed,
            streams=data.streams,
            block_size=data.block_size,
            schedule=self.schedule,
        )

    def open_stream(self, start_position: int) -> TrainingStream:
        """This rank's micro-batches from sample ``start_position`` to the end of the schedule."""
        data = self.config.data
        return open_scheduled_stream(
            self.datasets,
            make_sample=make_patch_sampler(self.task, self.setting, data.patch_size),
            schedule=self.schedule,
            settings=StreamSettings(
                seed=self.config.seed,
                start_position=start_position,
                rank=self.context.rank,
                world_size=self.context.world_size,
                streams=data.streams,
                block_size=data.block_size,
                faults=FaultPolicy(data.on_damage, data.max_skipped_share),
            ),
            loader_workers=data.loader_workers,
        )


def model_config(config: RunConfig) -> semanir.ModelConfig:
    """The SemanIR that ``config`` asks for; raises UserError naming the field that cannot be."""
    task = TASKS[config.task]
    fixed = {"in_channels": task.input_channels, "out_channels": task.channels, "upscale": task.upscale}
    try:
        return semanir.model_config(config.model.name or task.model, **fixed, **config.model.overrides())
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{config.task}: model: {error.args[0] if error.args else error}") from None
