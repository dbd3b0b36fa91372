"""``--dry-run``: what a run will be, before anything of it is started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch

import semanir
from pipeline.config import RunConfig, SpikeSettings
from pipeline.data.budget import block_bytes
from pipeline.data.decoded import is_kept_decoded
from pipeline.data.manifest import load_manifest
from pipeline.data.mixture import open_datasets
from pipeline.data.read_bytes import training_bytes, validation_bytes
from pipeline.registry.speed import Speed
from pipeline.training.checkpoint_size import checkpoint_bytes
from pipeline.training.devices import devices_in_words
from pipeline.training.footprint import footprint
from pipeline.training.phases import TrainingPhase, training_phases
from pipeline.training.training_plan import model_config, stream_settings
from pipeline.wording import counted, data_size, duration


@dataclass(frozen=True)
class Forecast:
    """Figures of one run with ``world_size`` workers. Bytes; memory is by part, of one worker.

    epochs: of each training set, by its address: weights say how often a set's turn comes, not its size.
    """

    world_size: int
    samples: int
    images: int
    epochs: dict[str, float]
    read_training: int
    read_validation: int
    checkpoint: int
    checkpoints: int
    memory: dict[str, int]

    @property
    def memory_total(self) -> int:
        """Of one worker: its GPU's, or without one its process's."""
        return sum(self.memory.values())


def forecast(config: RunConfig, world_size: int) -> Forecast:
    """The figures of ``config``, whose ``use_gpu`` is decided, with ``world_size`` workers; opens the data sets."""
    training, crops = config.training, config.data.crops_per_image
    datasets = open_datasets(list(config.data.train_sets.items()))
    samples = sum(phase.steps * phase.global_batch_size for phase in training_phases(config))
    images = samples // crops
    settings = stream_settings(config, world_size)
    validations = -(-training.steps // training.validate_every)
    memory = footprint(config, world_size).parts()
    if not training.on_gpu:
        kept = is_kept_decoded(datasets, settings.decoded_cache_bytes)
        decoded = sum(manifest.summary.decoded_bytes for manifest, _ in datasets)
        memory["data"] = decoded if kept else block_bytes(datasets, settings, config.data.loader_workers)
        memory["program"] = program_bytes()
    return Forecast(
        world_size=world_size,
        samples=samples,
        images=images,
        epochs={
            manifest.uri: images * weight / sum(weight for _, weight in datasets) / manifest.num_samples
            for manifest, weight in datasets
        },
        read_training=training_bytes(
            datasets, images, world_size=world_size, loader_workers=config.data.loader_workers,
            decoded_limit=settings.decoded_cache_bytes,
        ),
        read_validation=validation_bytes(load_manifest(config.data.val), validations),
        checkpoint=checkpoint_bytes(config, world_size),
        checkpoints=-(-training.steps // training.checkpoint_every),
        memory=memory,
    )  # fmt: skip


def describe_run(given: RunConfig, config: RunConfig, cluster: Mapping[str, float] | None, speed: Speed | None) -> str:
    """The plan of one run as lines: what was asked, what it means, what it will take.

    given, config: before and after the devices were decided. cluster: its resources; None: no cluster was reached.
    """
    training, phases = config.training, training_phases(config)
    plan = forecast(config, training.max_workers)
    with torch.device("meta"):
        parameters = sum(value.numel() for value in semanir.build_model(model_config(config)).parameters())
    devices = devices_in_words(given, cluster) if cluster is not None else f"{training.precision}; no cluster was asked"
    workers = str(training.max_workers)
    if training.elastic:
        workers = f"{training.min_workers} to {training.max_workers}, as room allows; figures are of {workers}"
    memory = ", ".join(f"{name} {data_size(value)}" for name, value in plan.memory.items() if value)
    rows = {
        "run": f"fingerprint {config.fingerprint()}, checkpoints in {config.storage}",
        "model": f"{config.model.name or 'the published one'}, {parameters:,} parameters, ZeRO stage "
        f"{training.zero_stage}, {training.optimizer}",
        "workers": f"{workers}; {devices}; {counted(training.cpus_per_worker, 'CPU')} each",
        "batch": "; ".join(dict.fromkeys(_batch(phase, plan.world_size) for phase in phases)),
        "steps": f"{training.steps:,}: {plan.samples:,} samples from {plan.images:,} images, {_epochs(plan.epochs)}",
        "rate": "; ".join(dict.fromkeys(map(_rate, phases))),
        "spikes": _spikes(training.spikes),
        "reads": f"{data_size(plan.read_training)} to train, {data_size(plan.read_validation)} to validate",
        "checkpoint": f"{plan.checkpoint:,} bytes, {counted(plan.checkpoints, 'time')}"
        f"{f', and every {duration(training.checkpoint_every_s)}' if training.checkpoint_every_s else ''}; "
        f"{min(training.num_to_keep, plan.checkpoints)} kept"
        f"{', and one to go back to' if training.spikes.steps_back else ''}",
        "memory": f"{data_size(plan.memory_total)} of each {'GPU' if training.on_gpu else 'worker'}: {memory}",
        "time": _time(config, plan, speed),
    }
    return "\n".join([config.task, *(f"  {name:<11}{text}" for name, text in rows.items())])


def _rate(phase: TrainingPhase) -> str:
    schedule = phase.schedule
    text = f"{phase.peak:g}, {schedule.kind}"
    if schedule.warmup_steps:
        text += f" after {counted(schedule.warmup_steps, 'step')} of warm-up"
    if schedule.warmup_steps >= phase.rate_steps:
        text += f", which its {phase.rate_steps:,} steps never end"
    if late := [step for step in schedule.milestones if step >= phase.rate_steps]:
        text += f"; never reached: milestones {', '.join(map(str, late))}"
    return text


def _spikes(spikes: SpikeSettings) -> str:
    if spikes.threshold is None:
        return "trained like any other step"
    return (
        f"left out above {spikes.threshold:g} standard deviations, {spikes.most} at most; {spikes.patience} in a row "
        f"send the run {spikes.steps_back} steps back"
    )


def _epochs(epochs: Mapping[str, float]) -> str:
    if len(epochs) == 1:
        return f"{next(iter(epochs.values())):,.1f} epochs"
    return ", ".join(f"{passed:,.1f} epochs of {uri}" for uri, passed in epochs.items())


def _batch(phase: TrainingPhase, world_size: int) -> str:
    micro = phase.micro_batch(world_size)
    passes = phase.global_batch_size // (world_size * micro)
    return (
        f"{counted(phase.global_batch_size, 'sample')} of {phase.patch_size} px = {counted(world_size, 'worker')} x "
        f"{counted(micro, 'sample')} x {counted(passes, 'pass', 'passes')}"
    )


def _time(config: RunConfig, plan: Forecast, speed: Speed | None) -> str:
    if speed is None:
        return "unknown: MLflow has no run of this model, batch, phases and workers yet; the first figures tell it"
    training = config.training
    pauses = -(-training.steps // training.validate_every) * speed.validation_s + plan.checkpoints * speed.checkpoint_s
    phases = zip(training_phases(config), speed.samples_per_second, strict=True)
    seconds = sum(phase.steps * phase.global_batch_size / rate for phase, rate in phases) + pauses
    rates = ", then ".join(f"{rate:.1f}" for rate in speed.samples_per_second)
    return (
        f"{seconds / 3600:,.2f} hours ({duration(seconds)}) at {rates} samples/s, which "
        f"{speed.run} of {speed.when} reached"
    )


@lru_cache
def program_bytes() -> int:
    """What a worker's process holds beside its tensors, measured in one of its own (pipeline.training.program)."""
    command = [sys.executable, "-m", "pipeline.training.program"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return int(run.stdout.split()[-1])
