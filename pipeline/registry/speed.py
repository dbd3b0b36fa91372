"""How fast runs like this one were, by what MLflow has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.tracking import MlflowClient

from pipeline.registry.client import connect

MOST_RUNS = 200  # looked at, newest first
# What a step's time hangs on; what is not among a run's parameters was None there.
DECIDES = (
    "task", "data.patch_size", "data.crops_per_image", "training.global_batch_size", "training.micro_batch_size",
    "training.num_workers", "training.cpus_per_worker", "training.use_gpu", "training.precision",
    "training.zero_stage", "training.loss", "training.ema_decay", "training.phases", "training.random_k",
    "data.loader_workers",
)  # fmt: skip
GROUPS_THAT_DECIDE = ("model.", "training.zero_optimization.")
NO_MATTER = {"model.init"}
IN_SPEED = "samples_per_second"
WORKERS = "workers"


@dataclass(frozen=True)
class Speed:
    """samples_per_second: of all workers, without pauses, by phase. validation_s, checkpoint_s: of the last pause."""

    samples_per_second: tuple[float, ...]
    validation_s: float
    checkpoint_s: float
    run: str
    when: str


def last_speed(experiment: str, params: Mapping[str, Any], workers: int, phase_starts: Sequence[int]) -> Speed | None:
    """Of the newest run in ``experiment`` that was like ``params`` and has figures of all its phases; or None.

    params: flat, as ``tracking.flat_params`` gives them; model, patches, batch, workers and phases must be equal.
    workers: as many must have been at work, where a run may have more or fewer. phase_starts: the steps before each
    phase. Raises UserError when the server does not answer.
    """
    client = connect()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    wanted = _deciding({key: str(value) for key, value in params.items()})
    runs = client.search_runs(
        [found.experiment_id], f"tags.task = '{params['task']}'", max_results=MOST_RUNS,
        order_by=["attributes.start_time DESC"],
    )  # fmt: skip
    for run in runs:
        if IN_SPEED not in run.data.metrics or _deciding(run.data.params) != wanted:
            continue
        rates = _rates(client, run.info.run_id, workers, phase_starts)
        if rates is not None:
            figures = run.data.metrics
            return Speed(
                rates, figures.get("time_validation_s", 0.0), figures.get("time_checkpoint_s", 0.0),
                str(run.info.run_name),
                datetime.fromtimestamp(run.info.start_time / 1000, UTC).date().isoformat(),
            )  # fmt: skip
    return None


def _rates(client: MlflowClient, run_id: str, workers: int, phase_starts: Sequence[int]) -> tuple[float, ...] | None:
    """The last figure of each phase that so many workers reached; None where a phase has none."""
    there = {one.step: one.value for one in client.get_metric_history(run_id, WORKERS)}
    last: dict[int, float] = {}
    for one in sorted(client.get_metric_history(run_id, IN_SPEED), key=lambda one: (one.step, one.timestamp)):
        if there.get(one.step, workers) == workers:
            last[sum(start < one.step for start in phase_starts) - 1] = one.value
    rates = [last.get(phase) for phase in range(len(phase_starts))]
    return tuple(rate for rate in rates if rate) if all(rates) else None


def _deciding(params: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in params.items()
        if key in DECIDES or (key.startswith(GROUPS_THAT_DECIDE) and key not in NO_MATTER)
    }
