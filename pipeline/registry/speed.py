"""How fast runs like this one were, by what MLflow has of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.registry.client import connect

MOST_RUNS = 200  # looked at, newest first
# What a step's time hangs on; what is not among a run's parameters was None there.
DECIDES = (
    "task", "data.patch_size", "data.crops_per_image", "training.global_batch_size", "training.micro_batch_size",
    "training.num_workers", "training.cpus_per_worker", "training.use_gpu", "training.precision",
    "training.zero_stage", "training.loss", "training.ema_decay",
)  # fmt: skip
IN_SPEED = "samples_per_second"


@dataclass(frozen=True)
class Speed:
    """samples_per_second: of all workers, without pauses. validation_s, checkpoint_s: of the last pause of each."""

    samples_per_second: float
    validation_s: float
    checkpoint_s: float
    run: str
    when: str


def last_speed(experiment: str, params: Mapping[str, Any]) -> Speed | None:
    """Of the newest run in ``experiment`` whose model, patches, batch and workers are those of ``params``; or None.

    ``params``: flat, as ``tracking.flat_params`` gives them. Raises UserError when the server does not answer.
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
        if IN_SPEED in run.data.metrics and _deciding(run.data.params) == wanted:
            figures = run.data.metrics
            return Speed(
                figures[IN_SPEED], figures.get("time_validation_s", 0.0), figures.get("time_checkpoint_s", 0.0),
                str(run.info.run_name),
                datetime.fromtimestamp(run.info.start_time / 1000, UTC).date().isoformat(),
            )  # fmt: skip
    return None


def _deciding(params: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in params.items() if key in DECIDES or _of_the_model(key)}


def _of_the_model(key: str) -> bool:
    return key.startswith("model.") and key != "model.init"
