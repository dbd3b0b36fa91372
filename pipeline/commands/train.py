"""Train, evaluate and register a model for each restoration task.

    semanir train --tasks denoising_color sr_x2 --set training.steps=2000
    ray job submit -- python jobs/train_all_tasks.py
    ray job submit --working-dir . -- python jobs/train_all_tasks.py --config jobs/configs/first_run.yaml --tasks all

Exit status: 0 all trained, 1 a task failed (the last table says which), 2 bad input, 143 stopped by SIGTERM after
saving (the same command continues).
"""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.door import configuration


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
    parser.add_argument("--retrain", action="store_true", help="train again what is already registered")
    parser.add_argument("--experiment", default="semanir", help="MLflow experiment (default: semanir)")
    parser.add_argument(
        "--force", metavar="REASON", default="", help="push aside another driver of these runs that is lost; says why"
    )


def run(options: argparse.Namespace) -> int:
    """Train the tasks; returns the exit status. Raises UserError on bad input."""
    from rich.console import Console

    from pipeline.config import read_config, resolve
    from pipeline.runs.commit import git_commit
    from pipeline.runs.fleet import run_fleet
    from pipeline.runs.outcome import print_report
    from pipeline.runs.stopping import STOPPED
    from pipeline.tasks import resolve_tasks
    from pipeline.training.context import Interrupted

    document = read_config(configuration(options.config, options.root))
    configs = [resolve(document, task.name, options.overrides) for task in resolve_tasks(options.tasks)]
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        outcomes = run_fleet(
            configs,
            experiment=options.experiment,
            commit=git_commit(options.root),
            retrain=options.retrain,
            console=console,
            force=options.force,
        )
    except Interrupted as reason:
        print(reason, file=sys.stderr)
        return STOPPED
    print_report(outcomes, console)
    return 1 if any(outcome.failed for outcome in outcomes) else 0
