"""Train, evaluate and register a model for each restoration task.

    semanir train --tasks denoising_color sr_x2 --set training.steps=2000
    semanir train --config my.yaml --dry-run
    semanir train --config my.yaml --on http://head:8265
    ray job submit -- python jobs/train_all_tasks.py
    ray job submit --working-dir . -- python jobs/train_all_tasks.py --config jobs/configs/first_run.yaml --tasks all

Exit status: 0 all trained, 1 a task failed (the last table says which), 2 bad input, 143 stopped by SIGTERM or the time
limit after saving (the same command continues).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from pipeline.commands.door import configuration
from pipeline.errors import UserError
from pipeline.options import at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "--tasks", nargs="+", metavar="TASK",
        default=["denoising", "jpeg", "sr", "deblurring", "demosaicking", "weather"],
        help="task or group names, or 'all' for the paper's ten (default: its six groups)",
    )  # fmt: skip
    parser.add_argument("--config", help="YAML configuration file (default: jobs/configs/first_run.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=VALUE", dest="overrides",
        help="override a configuration key, e.g. --set training.steps=2000 (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, print the plan and what it takes, start nothing"
    )
    parser.add_argument(
        "--on", nargs="?", const="", metavar="ADDRESS",
        help="send it to this Ray job server (default: RAY_API_SERVER_ADDRESS) and follow it; ctrl-C lets it run on",
    )  # fmt: skip
    parser.add_argument("--attach", metavar="JOB", help="with --on: follow this job again instead of sending one")
    parser.add_argument("--retrain", action="store_true", help="train again what is already registered")
    parser.add_argument("--experiment", default="semanir", help="MLflow experiment (default: semanir)")
    parser.add_argument(
        "--time-limit", metavar="SECONDS", type=at_least(90),
        help="a job's time limit: save and leave a minute before it is over; the same command continues",
    )  # fmt: skip
    parser.add_argument(
        "--force", metavar="REASON", default="", help="push aside another driver of these runs that is lost; says why"
    )


def arguments_again(options: argparse.Namespace) -> list[str]:
    """The command line that asks for the same without ``--on``; a configuration is named from the project's folder.

    Raises:
        UserError: the configuration lies outside of the project's folder, which alone travels.
    """
    words = ["--tasks", *options.tasks, "--experiment", options.experiment]
    if options.config is not None:
        path, root = Path(options.config).resolve(), options.root.resolve()
        if not path.is_relative_to(root):
            raise UserError(f"--config {options.config} is outside of {root}, which is what a cluster is sent")
        words += ["--config", path.relative_to(root).as_posix()]
    for text in options.overrides:
        words += ["--set", text]
    words += ["--retrain"] if options.retrain else []
    words += ["--force", options.force] if options.force else []
    return words + (["--time-limit", str(options.time_limit)] if options.time_limit else [])


def run_elsewhere(options: argparse.Namespace) -> int:
    """Send the training to a cluster, or find it there again, and follow it; returns its exit status."""
    from pipeline.commands.door import INTERRUPTED
    from pipeline.runs.commit import git_commit
    from pipeline.runs.submit import check_job, follow, job_server, new_job, submit, where_to_look

    address, job = job_server(options.on), options.attach
    if job == "":
        raise UserError("--attach has no job: give its id, or leave --attach out to send a new one")
    if job is not None:
        check_job(address, job)
    state = "the job runs on"
    told = where_to_look(address, job := job or new_job(), f"--on {options.on}".rstrip())
    try:
        if options.attach is None:
            state = "the job may have been sent"
            submit(address, job, arguments_again(options), options.root, git_commit(options.root))
            state = "the job runs on"
        print(told, flush=True)
        return follow(address, job, lambda text: print(text, end="", flush=True))
    except KeyboardInterrupt:
        print(f"\n{state}\n{told}", file=sys.stderr)
        return INTERRUPTED


def own_age_s() -> float:
    """Seconds since this process began: whoever limits its time counts imports and checks too."""
    import psutil

    return time.time() - psutil.Process().create_time()


def run(options: argparse.Namespace) -> int:
    """Train the tasks; returns the exit status. Raises UserError on bad input."""
    if options.dry_run and (options.on is not None or options.attach is not None):
        raise UserError("--dry-run plans for the cluster of RAY_ADDRESS and sends nothing: leave --on and --attach out")
    if options.on is not None:
        return run_elsewhere(options)
    if options.attach is not None:
        raise UserError("--attach needs --on, the job server that the job was sent to")
    from rich.console import Console

    from pipeline.config import read_config, resolve
    from pipeline.runs.commit import git_commit
    from pipeline.runs.fleet import describe_fleet, run_fleet
    from pipeline.runs.outcome import print_report
    from pipeline.runs.stopping import STOPPED
    from pipeline.tasks import resolve_tasks
    from pipeline.training.context import Interrupted

    document = read_config(configuration(options.config, options.root))
    configs = [resolve(document, task.name, options.overrides) for task in resolve_tasks(options.tasks)]
    if options.dry_run:
        print(describe_fleet(configs, options.experiment))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        outcomes = run_fleet(
            configs,
            experiment=options.experiment,
            commit=git_commit(options.root),
            retrain=options.retrain,
            console=console,
            force=options.force,
            time_limit_s=options.time_limit and max(0.0, options.time_limit - own_age_s()),
        )
    except Interrupted as reason:
        print(reason, file=sys.stderr)
        return STOPPED
    print_report(outcomes, console)
    return 1 if any(outcome.failed for outcome in outcomes) else 0
