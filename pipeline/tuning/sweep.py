"""A sweep from its file to its winner: trials side by side, one MLflow run above them, resumed where it was cut."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.tune
from rich.console import Console

from pipeline.cluster import Board, connect, total_resources
from pipeline.config import RunConfig, write_yaml
from pipeline.registry.tracking import FOLDER_TAG, Tracker, flat_params, open_experiment
from pipeline.runs.preflight import check_runs
from pipeline.runs.progress import Progress
from pipeline.storage import arrow_filesystem
from pipeline.storage.lease import Lease, sole_writer
from pipeline.tasks import TASKS
from pipeline.training.devices import with_devices
from pipeline.training.training_plan import model_config
from pipeline.tuning.plots import parallel_coordinates, psnr_against_k
from pipeline.tuning.results import TrialResult, pareto_front, result_rows, winner
from pipeline.tuning.search import DRIVER_RESOURCES, concurrency, param_space, scheduler, searcher
from pipeline.tuning.space import SweepSettings, check_space, sweep_document, trial_config, unlabeled
from pipeline.tuning.trial import CHECKPOINT, PSNR, STEP, TrialJob, cost, run_trial
from pipeline.tuning.watch import SweepWatch

SNAPSHOT_EVERY_S = 2  # of Ray Tune's own state: a sweep killed in between asks these seconds' trials again


@dataclass(frozen=True)
class SweepOutcome:
    """All trials, the configuration file with the winner's values (None: no trial finished), and MLflow's page."""

    results: tuple[TrialResult, ...]
    winner_yaml: str | None
    page: str


def run_sweep(
    document: Mapping[str, Any],
    sweep: SweepSettings,
    *,
    experiment: str,
    commit: str,
    console: Console,
    force: str = "",
) -> SweepOutcome:
    """Run the sweep, or what is left of it when the same sweep was begun before; finished trials stay finished.

    Raises:
        UserError: bad input, before any worker starts.
    """
    configs = check_space(document, sweep)
    base = configs[0]
    check_runs([base])
    connect()
    total = total_resources()
    configs = [with_devices(config, total) for config in configs]
    side_by_side = concurrency(sweep, configs, total)
    experiment_id = open_experiment(experiment)
    name = f"sweep-{sweep.task}-{sweep.fingerprint(trial_config(document, sweep, {}))}"
    folder = f"{base.storage.rstrip('/')}/{name}"
    with sole_writer(folder, name, force, base.training.storage_deadline_s) as lease:
        job = TrialJob(name, sweep.model_dump_json(), json.dumps(document), Board(), lease.to_pass_on(), total)
        return _run(job, sweep, configs, experiment_id, commit, side_by_side, console, lease)


def _run(
    job: TrialJob, sweep: SweepSettings, configs: Sequence[RunConfig], experiment_id: str, commit: str,
    side_by_side: int, console: Console, lease: Lease,
) -> SweepOutcome:  # fmt: skip
    base, name, document = configs[0], job.name, json.loads(job.document)
    parent = Tracker(
        experiment_id, name, params=flat_params(sweep.model_dump(mode="json")),
        tags={"task": sweep.task, "git_commit": commit, "sweep": name, FOLDER_TAG: job.lease.uri},
        title=f"sweep {sweep.task}: {', '.join(path.rpartition('.')[2] for path in sweep.space)} ({name[-6:]})",
    )  # fmt: skip
    steps = max(config.training.steps for config in configs)
    try:
        with Progress(console) as progress, SweepWatch(job, parent, experiment_id, progress) as watch:
            grid = _tuner(sweep, job, base.storage, side_by_side, steps).fit()
            results = tuple(_result(sweep, job, grid[number]) for number in range(len(grid)))
            lease.check()  # the trials of a sweep that was taken over have failed for that reason
            watch.close(results)
        outcome = SweepOutcome(results, _winner_yaml(document, sweep, results), parent.page)
        _record(outcome, parent, f"{TASKS[sweep.task].title}, sweep {name}")
    except BaseException:
        parent.finish("FAILED")
        raise
    parent.finish("FINISHED")
    return outcome


def _tuner(sweep: SweepSettings, job: TrialJob, storage: str, side_by_side: int, steps: int) -> ray.tune.Tuner:
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # else Ray Tune prints tables of its own, whatever verbose says
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(SNAPSHOT_EVERY_S)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    filesystem, path = arrow_filesystem(storage)
    trainable = ray.tune.with_resources(ray.tune.with_parameters(run_trial, job=job), DRIVER_RESOURCES)
    folder = f"{path}/{job.name}"
    if ray.tune.Tuner.can_restore(folder, storage_filesystem=filesystem):
        return ray.tune.Tuner.restore(
            folder, trainable, storage_filesystem=filesystem, resume_unfinished=True, restart_errored=True
        )
    return ray.tune.Tuner(
        trainable,
        param_space=param_space(sweep),
        tune_config=ray.tune.TuneConfig(
            num_samples=1 if sweep.searcher == "grid" else sweep.num_trials or 1,
            search_alg=searcher(sweep),
            scheduler=scheduler(sweep, steps),
            max_concurrent_trials=side_by_side,
            trial_dirname_creator=_trial_id,
        ),
        run_config=ray.tune.RunConfig(name=job.name, storage_path=path, storage_filesystem=filesystem, verbose=0),
    )


def _trial_id(trial: Any) -> str:
    return str(trial.trial_id)


def _result(sweep: SweepSettings, job: TrialJob, trial: ray.tune.Result) -> TrialResult:
    """Ray Tune's result as ours; MACs and parameters are a function of the configuration, whatever became of it."""
    metrics, values = trial.metrics or {}, unlabeled(trial.config or {})
    config = job.config(values)
    macs, parameters = cost(config, sweep.macs_size)
    model = model_config(config)
    psnr = metrics.get(PSNR)
    checkpoint = metrics.get(CHECKPOINT, "")
    return TrialResult(
        trial=Path(trial.path).name,
        values=values,
        status="failed" if trial.error else "finished" if checkpoint else "stopped",
        step=int(metrics.get(STEP, 0)),
        psnr=-math.inf if psnr is None else float(psnr),
        macs=macs,
        parameters=parameters,
        k=model.k,
        depths=model.depths,
        checkpoint_uri=checkpoint,
        error=_last_line(trial.error) if trial.error else "",
    )


def _winner_yaml(document: Mapping[str, Any], sweep: SweepSettings, results: Sequence[TrialResult]) -> str | None:
    best = winner(results)
    if best is None:
        return None
    text = write_yaml(sweep_document(document, sweep, best.values))
    return (
        f"# Trial {best.trial}: {best.psnr:.2f} dB on the validation images, {best.macs / 1e9:.3f} GMACs "
        f"on {sweep.macs_size} x {sweep.macs_size} pixels.\n"
        f"# ray job submit -- python jobs/train_all_tasks.py --tasks {sweep.task} --config THIS_FILE\n{text}"
    )


def _record(outcome: SweepOutcome, parent: Tracker, title: str) -> None:
    parent.table("trials.json", result_rows(outcome.results))
    if outcome.winner_yaml is None:
        return
    parent.document("winner.yaml", outcome.winner_yaml)
    parent.figure("psnr_against_k.png", psnr_against_k(outcome.results, title))
    parent.figure("parallel_coordinates.png", parallel_coordinates(outcome.results, title))
    best = winner(outcome.results)
    assert best is not None
    parent.tag(
        {"winner": best.trial, "pareto_front": " ".join(result.trial for result in pareto_front(outcome.results))}
    )
    parent.log(best.step, {"psnr": best.psnr, "macs": best.macs})


def _last_line(error: Exception) -> str:
    # The trial's own error is the cause of what Ray wraps around it, and Ray prints it last.
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
