"""A run's configuration made concrete: its task, model and sample stream, built the same way on every rank."""

from __future__ import annotations

from functools import cached_property

import torch

import semanir
from pipeline.config import RunConfig
from pipeline.data.batches import BatchSchedule, data_position_digest
from pipeline.data.faults import FaultPolicy
from pipeline.data.loader import TrainingStream, open_scheduled_stream
from pipeline.data.manifest import Manifest
from pipeline.data.mixture import open_datasets
from pipeline.data.patches import make_patch_sampler
from pipeline.data.shard_cache import CacheSettings
from pipeline.data.stream import StreamSettings
from pipeline.errors import UserError
from pipeline.tasks import TASKS
from pipeline.training.context import WorkerContext
from pipeline.training.initial import load_initial
from pipeline.training.phases import training_phases


class TrainingPlan:
    """What ``config`` means for the worker ``context``: nothing here depends on anything but the two."""

    def __init__(self, config: RunConfig, context: WorkerContext) -> None:
        self.config, self.context = config, context
        self.task = TASKS[config.task]
        self.setting = self.task.parse_settings(config.setting)
        self.loss = config.training.loss or self.task.loss
        self.model_config = model_config(config)
        self.phases = training_phases(config)

    @cached_property
    def datasets(self) -> tuple[tuple[Manifest, int], ...]:
        """The training sets with their weights, opened."""
        return open_datasets(list(self.config.data.train_sets.items()))

    @cached_property
    def schedule(self) -> BatchSchedule:
        """How positions become this world's steps and micro-batches."""
        return batch_schedule(self.config, self.context.world_size)

    def build_model(self) -> semanir.SemanIR:
        """A fresh model, the same on every rank and at every start; with the weights of ``model.init``, if given."""
        return initial_model(self.config)

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
        return open_scheduled_stream(
            self.datasets,
            make_sample=make_patch_sampler(self.task, self.setting, [phase.patch_size for phase in self.phases]),
            schedule=self.schedule,
            settings=stream_settings(self.config, self.context.world_size, self.context.rank, start_position),
            loader_workers=self.config.data.loader_workers,
        )


def batch_schedule(config: RunConfig, world_size: int) -> BatchSchedule:
    """Steps and micro-batches of ``world_size`` workers; raises UserError for sizes that do not fit together."""
    phases = tuple(phase.data_phase(world_size) for phase in training_phases(config))
    return BatchSchedule(phases, config.data.crops_per_image)


def stream_settings(config: RunConfig, world_size: int, rank: int = 0, start_position: int = 0) -> StreamSettings:
    """Which samples worker ``rank`` of ``world_size`` draws, and the memory it may use for it."""
    data = config.data
    return StreamSettings(
        seed=config.seed,
        start_position=start_position,
        rank=rank,
        world_size=world_size,
        streams=data.streams,
        block_size=data.block_size,
        cache=CacheSettings(data.cache_folder, int(data.cache_gib * 2**30)) if data.cache_folder else None,
        faults=FaultPolicy(data.on_damage, data.max_skipped_share),
        storage_deadline_s=config.training.storage_deadline_s,
    )


def initial_model(config: RunConfig) -> semanir.SemanIR:
    """The model at step 0, the same wherever it is built; raises UserError when ``model.init`` is none for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = semanir.build_model(model_config(config))
    if config.model.init is not None:
        load_initial(model, config.model.init)
    return model


def model_config(config: RunConfig) -> semanir.ModelConfig:
    """The SemanIR that ``config`` asks for; raises UserError naming the field that cannot be."""
    task = TASKS[config.task]
    fixed = {"in_channels": task.input_channels, "out_channels": task.channels, "upscale": task.upscale}
    name, depths = config.model.name or task.model, config.model.depths
    try:
        stages = len(semanir.model_config(name).depths)
        if depths is not None and len(depths) != stages:
            raise ValueError(f"depths {list(depths)} has {len(depths)} entries, but {name} has {stages} stages")
        return semanir.model_config(name, **fixed, **config.model.overrides())
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{config.task}: model: {error.args[0] if error.args else error}") from None
