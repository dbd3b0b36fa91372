"""A whole run in one process without a cluster: the real driver's steps, loop, evaluation and registry.

`python -m tests.pipeline.runs.plain_run` is a warm interpreter: each line of its input is a job, done in a process that
is forked from it, whose id and wait status it answers, a line each. Imports take longer than the run: what one job
imported is there for the next.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from rich.console import Console

from pipeline.config import RunConfig
from pipeline.errors import UserError
from pipeline.registry import client
from pipeline.registry.lost_runs import close_lost_runs
from pipeline.registry.tracking import open_experiment
from pipeline.runs import held_out, task_run
from pipeline.runs.preflight import check_runs
from pipeline.runs.progress import Progress
from pipeline.runs.room import Room
from pipeline.runs.task_run import TaskRun
from pipeline.scoring.evaluator import map_here, supply
from pipeline.storage import s3
from pipeline.storage.lease import Pass, is_held
from pipeline.training import ray_train
from pipeline.training.context import Figures, PlainContext, SentFile
from pipeline.training.engine import import_deepspeed
from pipeline.training.loop import train
from pipeline.training.proof import Saving
from pipeline.training.ray_train import TrainedRun, forget_rays_notes, run_shelf_uri
from pipeline.training.resume import newest_checkpoint
from pipeline.training.send import send
from pipeline.training.shelf import Shelf, checkpoint_name
from tests.pipeline.runs.laboratory import REFUSED


class Board:
    """In the place of the cluster's: what a worker posts reaches the run at once."""

    closed = False
    run: TaskRun

    def allow(self, topic: str, workers: int) -> None:
        del topic, workers


class RunContext(PlainContext):
    """The worker's context under Ray, with the same calls, but for the cluster's board and Ray Train's report."""

    def __init__(self, config: RunConfig, name: str, board: Board, lease: Pass | None) -> None:
        super().__init__(run_shelf_uri(config, name), lease=lease)
        self._board, self._deadline_s = board, config.training.storage_deadline_s
        self._keep = (config.training.num_to_keep, config.training.spikes.steps_back)

    def log(self, figures: Figures) -> None:
        self._board.run.heard(figures)

    def file(self, name: str, content: bytes) -> None:
        self._board.run.received(SentFile(name, content))

    def say(self, line: str) -> None:
        print(f"said: {line}", flush=True)  # noqa: T201

    def save(self, saving: Saving, metrics: Mapping[str, float], folder: Path) -> None:
        send(folder, saving, str(self.storage), self._deadline_s, self.lease)
        shutil.rmtree(folder)
        if self.lease is not None:
            self.lease.check(self._deadline_s)
        Shelf(str(self.storage), self._deadline_s).keep_newest(*self._keep)

    def latest_checkpoint(self, at_most: int | None = None) -> AbstractContextManager[Path | None]:
        if self.lease is not None:
            self.lease.check(self._deadline_s)
        return newest_checkpoint(Shelf(str(self.storage), self._deadline_s), self.rank, self.say, at_most)


def train_here(
    config: RunConfig, run_name: str, board: Board, lease: Pass | None = None, on_node: ray_train.OnNode | None = None
) -> TrainedRun:
    """In the place of ``run_training``: the same steps around the loop, on this process alone."""
    forget_rays_notes(config, run_name)
    with nullcontext() if on_node is None else on_node("here"):
        summary = train(config, RunContext(config, run_name, board, lease))
    assert ray_train._is_proven(config, run_name, summary.steps)
    ray_train._tidy(config, run_name, lease)
    return TrainedRun(summary, f"{run_shelf_uri(config, run_name)}/{checkpoint_name(summary.steps)}")


def without_a_cluster() -> None:
    """Replace what asks Ray: where training and evaluation are computed."""
    for module, name, here in (
        (task_run, "run_training", train_here),
        (task_run, "this_node", lambda: "here"),
        (held_out, "map_on_ray", lambda workers, num_cpus: map_here),
        (held_out, "supply", lambda weights, on_ray: supply(weights, on_ray=False)),
    ):
        setattr(module, name, here)


def run(config: RunConfig, experiment: str) -> None:
    """What ``semanir train`` does for one task (pipeline.runs.fleet)."""
    check_runs([config])
    experiment_id, board = open_experiment(experiment), Board()
    with Progress(Console(width=400)) as progress, ThreadPoolExecutor(1) as pool:
        board.run = TaskRun(config, experiment_id, "commit", False, board, Room({"CPU": 8}), progress)  # type: ignore[arg-type]
        closing = pool.submit(close_lost_runs, experiment_id, [board.run.topic], is_held)
        outcome = board.run.run()
    if closing.exception() is not None:
        print(f"not closed: {closing.exception()}")  # noqa: T201
    print(f"outcome: {outcome.status}: {outcome.version}")  # noqa: T201


def do(job: dict[str, Any]) -> int:
    """One job in this process; returns its exit status, with one line on the error stream where it is ``REFUSED``."""
    os.environ.update(job["environment"])
    s3.DEFAULT_DEADLINE_S = client.CONNECT_TIMEOUT_S = job["patience_s"]
    without_a_cluster()
    try:
        run(RunConfig.model_validate_json(job["config"]), job["experiment"])
    except UserError as error:
        print("\n".join([f"refused: {error}", *getattr(error, "__notes__", [])]), flush=True)  # noqa: T201
        return REFUSED
    return 0


def serve() -> None:
    """Do the jobs of the input, each in a process and a session of its own, all of whose output goes to its log."""
    import_deepspeed(torch.device("cpu"))
    for line in sys.stdin:
        job = json.loads(line)
        imported = Path(job["log"]).with_suffix(".imports")
        imported.unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            do_apart(job, imported)
        print(pid, flush=True)  # noqa: T201
        status = os.waitpid(pid, 0)[1]
        for name in imported.read_text().split() if imported.exists() else ():
            with suppress(Exception):  # made while it ran: the code of a model
                importlib.import_module(name)
        print(status, flush=True)  # noqa: T201


def do_apart(job: dict[str, Any], imported: Path) -> NoReturn:
    """The job in this forked process; writes down what it imported."""
    os.setsid()
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    before, status = set(sys.modules), 1
    try:
        status = do(job)
        imported.write_text("\n".join(name for name in list(sys.modules) if name not in before))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
