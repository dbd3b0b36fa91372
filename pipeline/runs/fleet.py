"""Many task runs side by side: as many as the cluster has room for, and none takes another down with it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from rich.console import Console

from pipeline.cluster import Board, connect, show_figures, total_resources
from pipeline.config import RunConfig
from pipeline.errors import UserError, first_line
from pipeline.registry.tracking import open_experiment
from pipeline.runs.outcome import Outcome
from pipeline.runs.preflight import check_runs
from pipeline.runs.progress import Progress
from pipeline.runs.room import Room, each_worker
from pipeline.runs.stopping import told_to_stop
from pipeline.runs.task_run import TaskRun
from pipeline.training.context import Figures, Interrupted, Said, SentFile

POLL_S = 0.5


def run_fleet(
    configs: Sequence[RunConfig],
    *,
    experiment: str,
    commit: str,
    retrain: bool,
    console: Console,
    force: str = "",
) -> list[Outcome]:
    """Train, evaluate and register each configuration; returns one outcome per configuration, in their order.

    ``force``: the reason why another driver that writes to these runs is to be pushed aside.

    Raises:
        UserError: bad input, before any worker starts.
        Interrupted: this process got SIGTERM; what was training is saved, and the same call continues it.
    """
    check_runs(configs)
    connect()
    room = Room(total_resources())
    for config in configs:
        room.check(each_worker(config.training), config.training.min_workers, config.task)
    board, experiment_id = Board(), open_experiment(experiment)
    with Progress(console) as progress, told_to_stop() as stop, ThreadPoolExecutor(2 * len(configs)) as pool:
        runs = [TaskRun(config, experiment_id, commit, retrain, board, room, progress, force) for config in configs]
        by_topic = {run.topic: run for run in runs}
        futures = [pool.submit(run.run) for run in runs]
        pending: set[Future[Outcome]] = set(futures)
        while pending:
            _, pending = wait(pending, timeout=POLL_S)
            if stop.is_set() and not board.closed:
                console.print("SIGTERM: saving, then leaving")
                board.dismiss()
                for run in runs:
                    pool.submit(run.stopping)
            room.resize(total_resources())  # nodes come and go
            for topic, notice in board.collect():
                if isinstance(notice, SentFile):
                    by_topic[topic].received(notice)
                elif isinstance(notice, Said):
                    progress.note(by_topic[topic].config.task, notice.line)
                elif isinstance(notice, Figures):
                    by_topic[topic].heard(notice)
                    if not notice.again:
                        show_figures(topic, {"step": notice.step, **notice.metrics})
    if board.closed and any(isinstance(future.exception(), Interrupted) for future in futures):
        for config, future in zip(configs, futures, strict=True):
            if not isinstance(future.exception(), Interrupted):
                _outcome(config, future, console)  # what failed before is said, and fails again at the next start
        raise Interrupted("stopped by SIGTERM; the same command continues")
    return [_outcome(config, future, console) for config, future in zip(configs, futures, strict=True)]


def _outcome(config: RunConfig, future: Future[Outcome], console: Console) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, UserError):
        console.print(
            "\n".join([f"{config.task}: {error}", *getattr(error, "__notes__", [])]),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    else:
        console.print("".join(traceback.format_exception(error)), highlight=False, markup=False)
    return Outcome(config.task, f"failed: {first_line(error)}", failed=True)
