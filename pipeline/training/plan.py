"""A run's configuration made concrete: its task, model and sample stream, built the same way on every rank."""

from __future__ import annotations

from functools import cached_property

import torch

import semanir
from pipeline.config import RunConfig, parse_settings
from pipeline.data.loader import TrainingStream, open_training_stream
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.data.order import data_position_digest
from pipeline.data.patches import make_patch_sampler
from pipeline.errors import UserError
from pipeline.tasks import TASKS
from pipeline.training.context import WorkerContext


class TrainingPlan:
    """What ``config`` means for the worker ``context``: nothing here depends on anything but the two."""

    def __init__(self, config: RunConfig, context: WorkerContext) -> None:
        self.config, self.context = config, context
        self.task = TASKS[config.task]
        self.setting = parse_settings(self.task.settings, config.setting, where=f"{config.task}: setting")
        self.loss = config.training.loss or self.task.loss
        self.model_config = model_config(config)

    @cached_property
    def manifest(self) -> Manifest:
        return load_manifest(self.config.data.train)

    def build_model(self) -> torch.nn.Module:
        """A fresh model, with the same initial weights on every rank and at every start."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return semanir.build_model(self.model_config)

    @cached_property
    def data_digest(self) -> str:
        """Identity of the sample order; equal digests mean that a position is the same sample."""
        data = self.config.data
        return data_position_digest(
            self.manifest,
            seed=self.config.seed,
            streams=data.streams,
            block_size=data.block_size,
            crops_per_image=data.crops_per_image,
        )

    def open_stream(self, start_position: int) -> TrainingStream:
        """This rank's endless micro-batches from sample ``start_position`` on."""
        data, training, world_size = self.config.data, self.config.training, self.context.world_size
        return open_training_stream(
            self.manifest,
            make_sample=make_patch_sampler(self.task, self.setting, data.patch_size),
            seed=self.config.seed,
            start_position=start_position,
            rank=self.context.rank,
            world_size=world_size,
            global_batch_size=training.global_batch_size,
            micro_batch_size=training.micro_batch(world_size),
            streams=data.streams,
            block_size=data.block_size,
            loader_workers=data.loader_workers,
            crops_per_image=data.crops_per_image,
        )


def model_config(config: RunConfig) -> semanir.ModelConfig:
    """The SemanIR that ``config`` asks for; raises UserError naming the field that cannot be."""
    task = TASKS[config.task]
    fixed = {"in_channels": task.input_channels, "out_channels": task.channels, "upscale": task.upscale}
    try:
        return semanir.model_config(config.model.name or task.model, **fixed, **config.model.overrides())
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{config.task}: model: {error.args[0] if error.args else error}") from None
