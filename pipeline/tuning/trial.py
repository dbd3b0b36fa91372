"""One trial: a training run like any other, whose checkpoints report to Ray Tune."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray.tune
import torch
from ray.tune.integration.ray_train import TuneReportCallback

import semanir
from pipeline.cluster import Board
from pipeline.config import RunConfig
from pipeline.storage.lease import Pass
from pipeline.training.devices import with_devices
from pipeline.training.ray_train import run_training
from pipeline.training.training_plan import model_config
from pipeline.tuning.space import SweepSettings, label, trial_config, unlabeled

PSNR, STEP, MACS, PARAMETERS, CHECKPOINT = "best_psnr", "step", "macs", "parameters", "checkpoint_uri"
START, END = "start", "end"  # the board's topics under which a trial says that it begins, and that it finished


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a sweep share: the sweep and the configuration file as JSON, where they report, its lease, and
    what the cluster had when it began.
    """

    name: str
    sweep: str
    document: str
    board: Board
    lease: Pass
    cluster: Mapping[str, float]

    def config(self, values: dict[str, Any]) -> RunConfig:
        """The run of one trial; its checkpoints go below the sweep's name."""
        sweep = SweepSettings.model_validate_json(self.sweep)
        config = with_devices(trial_config(json.loads(self.document), sweep, values), self.cluster)
        return config.model_copy(update={"storage": trial_storage(config.storage, self.name)})


def trial_title(task: str, values: Mapping[str, Any], trial: str) -> str:
    """``denoising_color: k 16, depths [2, 2, 2] (1a2b3c)``: the last part of each varied path, and the trial's name."""
    shown = ", ".join(f"{path.rpartition('.')[2]} {label(value)}" for path, value in values.items())
    return f"{task}: {shown} ({trial})"


def trial_storage(storage: str, name: str) -> str:
    """Where the training runs of sweep ``name`` keep their checkpoints, beside Ray Tune's own folder."""
    return f"{storage.rstrip('/')}/{name}-trials"


def run_trial(chosen: dict[str, Any], job: TrialJob) -> None:
    """The trainable: train, and report PSNR with the model's cost. A trial that starts again continues."""
    values = unlabeled(chosen)
    config = job.config(values)
    trial = ray.tune.get_context().get_trial_id()
    job.board.post(START, (trial, values))
    trained = run_training(config, trial, job.board, callbacks=[TuneReportCallback()], lease=job.lease)
    macs, parameters = cost(config, SweepSettings.model_validate_json(job.sweep).macs_size)
    ray.tune.report(
        {
            PSNR: trained.summary.best_psnr,
            STEP: trained.summary.steps,
            MACS: macs,
            PARAMETERS: parameters,
            CHECKPOINT: trained.checkpoint_uri,
        }
    )
    job.board.post(END, (trial, trained.summary.best_psnr))


def cost(config: RunConfig, size: int) -> tuple[int, int]:
    """Multiply-accumulates on a network input of ``size`` x ``size`` pixels at the model's own k, and parameters."""
    with torch.device("meta"):
        model = semanir.build_model(model_config(config))
    description = semanir.describe(model, size, size)
    return description.macs, description.parameters
