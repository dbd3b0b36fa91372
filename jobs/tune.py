"""Search configurations: every trial is a real training run, the winner a file that train_all_tasks.py takes.

    ray job submit -- python jobs/tune.py jobs/configs/sweeps/k_and_depths.yaml --output runs/k_and_depths
    ray job submit -- python jobs/tune.py jobs/configs/sweeps/asha.yaml --set num_trials=20

The same command again continues an interrupted sweep. Exit status: 0 at least one trial finished, 1 none did, 2 bad
input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sweep", help="YAML file of the search space, e.g. jobs/configs/sweeps/k_and_depths.yaml")
    parser.add_argument(
        "--config", default=str(ROOT / "jobs/configs/first_run.yaml"), help="configuration file that trials start from"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=VALUE", dest="overrides",
        help="override a key of the sweep file, e.g. --set fixed.training.steps=400 (repeatable)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="folder for winner.yaml (MLflow has it in any case)")
    parser.add_argument("--experiment", default="semanir-sweeps", help="MLflow experiment (default: semanir-sweeps)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    options = parse(arguments)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Heavy imports only now, so that --help answers at once.
    from rich.console import Console

    from pipeline.config import read_config
    from pipeline.errors import UserError
    from pipeline.runs.commit import git_commit
    from pipeline.tuning.results import results_table
    from pipeline.tuning.space import read_sweep
    from pipeline.tuning.sweep import run_sweep

    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        sweep = read_sweep(options.sweep, options.overrides)
        outcome = run_sweep(
            read_config(options.config), sweep,
            experiment=options.experiment, commit=git_commit(ROOT), console=console,
        )  # fmt: skip
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console.print(results_table(outcome.results, sweep.macs_size))
    if outcome.winner_yaml is None:
        print("error: no trial finished; the table says why", file=sys.stderr)
        return 1
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "winner.yaml").write_text(outcome.winner_yaml, encoding="utf-8")
        console.print(f"winner: {options.output / 'winner.yaml'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
