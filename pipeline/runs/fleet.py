"""Many task runs side by side: as many as the cluster has room for, and none takes another down with it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from rich.console import Console

from pipeline.cluster import Board, connect, total_resources
from pipeline.config import RunConfig
from pipeline.errors import UserError, first_line
from pipeline.gauges import show_figures
from pipeline.registry.lost_runs import close_lost_runs
from pipeline.registry.speed import last_speed
from pipeline.registry.tracking import flat_params, open_experiment
from pipeline.runs.forecast import describe_run
from pipeline.runs.gpus_away import check_gpus_are_there
from pipeline.runs.outcome import Outcome
from pipeline.runs.preflight import check_runs
from pipeline.runs.progress import Progress
from pipeline.runs.room import Room, each_worker
from pipeline.runs.stopping import told_to_stop
from pipeline.runs.task_run import TaskRun
from pipeline.storage.lease import is_held
from pipeline.training.context import Figures, Interrupted, Said, SentFile
from pipeline.training.devices import devices_in_words, with_devices
from pipeline.training.phases import training_phases

POLL_S = 0.5


def run_fleet(
    configs: Sequence[RunConfig],
    *,
    experiment: str,
    commit: str,
    retrain: bool,
    console: Console,
    force: str = "",
    time_limit_s: float | None = None,
) -> list[Outcome]:
    """Train, evaluate and register each configuration; returns one outcome per configuration, in their order.

    ``force``: the reason why another driver that writes to these runs is to be pushed aside. ``time_limit_s``: all is
    saved and left a minute before so many seconds are over.

    Raises:
        UserError: bad input, before any worker starts.
        Interrupted: SIGTERM came, or the time was nearly over; what was training is saved, and the same call goes on.
    """
    check_runs(configs)
    if dashboard := connect():
        console.print(f"Ray dashboard {dashboard} (asks for the token of RAY_AUTH_TOKEN_PATH)", soft_wrap=True)
    total = total_resources()
    for given in configs:
        if given.training.use_gpu == "auto" and total["GPU"]:
            console.print(f"{given.task:<16} {devices_in_words(given, total)}", highlight=False, soft_wrap=True)
    asked, configs = configs, [with_devices(given, total) for given in configs]
    room = Room(total)
    for config in configs:
        room.check(each_worker(config.training), config.training.min_workers, config.task)
    board, experiment_id = Board(), open_experiment(experiment)
    threads = ThreadPoolExecutor(2 * len(configs) + 1)
    with Progress(console) as progress, told_to_stop(time_limit_s) as stop, threads as pool:
        runs = [TaskRun(config, experiment_id, commit, retrain, board, room, progress, force) for config in configs]
        for given, run in zip(asked, runs, strict=True):
            check_gpus_are_there(given, run.config, run.topic)
        by_topic = {run.topic: run for run in runs}
        closing = pool.submit(close_lost_runs, experiment_id, list(by_topic), is_held)
        futures = [pool.submit(run.run) for run in runs]
        pending: set[Future[Outcome]] = set(futures)
        while pending:
            _, pending = wait(pending, timeout=POLL_S)
            if stop.is_set() and not board.closed:
                console.print(f"{stop.why}: saving, then leaving")
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
    if (unclosed := closing.exception()) is not None:
        console.print(f"runs that were killed before may still be shown as running: {first_line(unclosed)}")
    if board.closed and any(isinstance(future.exception(), Interrupted) for future in futures):
        for config, future in zip(configs, futures, strict=True):
            if not isinstance(future.exception(), Interrupted):
                _outcome(config, future, console)  # what failed before is said, and fails again at the next start
        raise Interrupted(f"stopped by {stop.why}; the same command continues")
    return [_outcome(config, future, console) for config, future in zip(configs, futures, strict=True)]


def describe_fleet(configs: Sequence[RunConfig], experiment: str) -> str:
    """The plans of all runs as text; checks what a start would check, and starts nothing.

    Where the cluster has no room for a run, or none is within reach, a note says so; without a cluster the plan keeps
    CPUs where ``use_gpu`` is ``auto``.

    Raises:
        UserError: bad input.
    """
    check_runs(configs)
    cluster: dict[str, float] | None = None
    notes = []
    try:
        connect()
        cluster = total_resources()
    except UserError as error:
        notes.append(f"note: {error}")
    plans = []
    for given in configs:
        config = with_devices(given, cluster or {})
        if cluster is not None:
            try:
                Room(cluster).check(each_worker(config.training), config.training.min_workers, config.task)
            except UserError as error:  # it may be planned here and run elsewhere
                notes.append(f"note: it does not fit here: {error}")
        starts = [phase.first_step for phase in training_phases(config)]
        speed = last_speed(experiment, flat_params(config.model_dump(mode="json")), config.training.max_workers, starts)
        plans.append(describe_run(given, config, cluster, speed))
    return "\n\n".join([*plans, *notes])


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
