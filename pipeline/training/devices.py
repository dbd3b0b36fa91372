"""``training.use_gpu: auto``: whether a run's workers get a GPU each, decided by what the cluster has."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config import RunConfig
from pipeline.wording import counted


def with_devices(config: RunConfig, cluster: Mapping[str, float]) -> RunConfig:
    """``config`` with ``use_gpu`` decided; on GPUs in bf16, unless the configuration gives the precision itself.

    ``auto`` takes GPUs when the cluster has one for each of the fewest workers that the run may have.
    """
    training = config.training
    if training.use_gpu != "auto":
        return config
    if cluster.get("GPU", 0) < training.min_workers:
        return _with(config, use_gpu=False)
    chosen = {} if "precision" in training.model_fields_set else {"precision": "bf16"}
    return _with(config, use_gpu=True, **chosen)


def devices_in_words(given: RunConfig, cluster: Mapping[str, float]) -> str:
    """What became of ``given`` and why, in a line."""
    training, gpus = with_devices(given, cluster).training, int(cluster.get("GPU", 0))
    has = f"the cluster has {counted(gpus, 'GPU')}" if gpus else "the cluster has no GPU"
    if given.training.use_gpu != "auto":
        return f"{_kind(training.on_gpu)}, {training.precision}: training.use_gpu is {given.training.use_gpu}; {has}"
    if training.on_gpu:
        return f"one GPU each, {training.precision}: {has} (training.use_gpu=false for CPUs)"
    need = f", fewer than num_workers {given.training.min_workers}: lower it to use them" if gpus else ""
    return f"CPUs, {training.precision}: {has}{need}"


def _kind(on_gpu: bool) -> str:
    return "one GPU each" if on_gpu else "CPUs"


def _with(config: RunConfig, **training: object) -> RunConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=training)})
