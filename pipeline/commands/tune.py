"""Search configurations: every trial is a real training run, the winner a file that ``train`` takes.

    ray job submit -- python jobs/tune.py jobs/configs/sweeps/k_and_depths.yaml --output runs/k_and_depths
    semanir tune jobs/configs/sweeps/asha.yaml --set num_trials=20

The same command again continues an interrupted sweep. Exit status: 0 at least one trial finished, 1 none
did, 2 bad input.
"""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.door import configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("sweep", help="YAML file of the search space, e.g. jobs/configs/sweeps/k_and_depths.yaml")
    parser.add_argument("--config", help="file that trials start from (default: jobs/configs/first_run.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=VALUE", dest="overrides",
        help="override a key of the sweep file, e.g. --set fixed.training.steps=400 (repeatable)",
    )  # fmt: skip
    parser.add_argument("--output", help="folder or s3:// prefix for winner.yaml (MLflow has it in any case)")
    parser.add_argument("--experiment", default="semanir-sweeps", help="MLflow experiment (default: semanir-sweeps)")
    parser.add_argument(
        "--force", metavar="REASON", default="", help="push aside another driver of this sweep that is lost; says why"
    )


def run(options: argparse.Namespace) -> int:
    """Run the sweep; returns the exit status. Raises UserError on bad input."""
    from rich.console import Console

    from pipeline.addresses import absolute, check_output
    from pipeline.config import read_config
    from pipeline.runs.commit import git_commit
    from pipeline.storage import check_access, open_storage
    from pipeline.tuning.results import results_table
    from pipeline.tuning.space import read_sweep
    from pipeline.tuning.sweep import run_sweep

    console = Console(width=None if sys.stdout.isatty() else 140)
    output = None if options.output is None else absolute(check_output(options.output)).rstrip("/")
    if output is not None:
        check_access(output)
    sweep = read_sweep(options.sweep, options.overrides)
    outcome = run_sweep(
        read_config(configuration(options.config, options.root)), sweep,
        experiment=options.experiment, commit=git_commit(options.root), console=console,
        force=options.force,
    )  # fmt: skip
    console.print(results_table(outcome.results, sweep.macs_size))
    console.print(f"plots and trials: {outcome.page}", highlight=False, soft_wrap=True)
    if outcome.winner_yaml is None:
        print("error: no trial finished; the table says why", file=sys.stderr)
        return 1
    if output is not None:
        open_storage(output).write("winner.yaml", outcome.winner_yaml.encode())
        console.print(f"winner: {output}/winner.yaml", highlight=False)
    return 0
