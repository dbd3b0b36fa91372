"""Train, evaluate and register a model for each restoration task.

    ray job submit -- python jobs/train_all_tasks.py
    ray job submit -- python jobs/train_all_tasks.py --tasks denoising_color sr_x2 --set training.steps=2000
    ray job submit --working-dir . -- python jobs/train_all_tasks.py --config jobs/configs/first_run.yaml --tasks all

Exit status: 0 all trained, 1 a task failed (the last table says which), 2 bad input, 143 stopped by SIGTERM after
saving (the same command continues).
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
    parser.add_argument(
        "--tasks", nargs="+", metavar="TASK",
        default=["denoising", "jpeg", "sr", "deblurring", "demosaicking", "weather"],
        help="task or group names, or 'all' for the ten tasks (default: the six groups)",
    )  # fmt: skip
    parser.add_argument("--config", default=str(ROOT / "jobs/configs/first_run.yaml"), help="YAML configuration file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=VALUE", dest="overrides",
        help="override a configuration key, e.g. --set training.steps=2000 (repeatable)",
    )  # fmt: skip
    parser.add_argument("--retrain", action="store_true", help="train again what is already registered")
    parser.add_argument("--experiment", default="semanir", help="MLflow experiment (default: semanir)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    options = parse(arguments)
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Heavy imports only now, so that --help answers at once.
    from rich.console import Console

    from pipeline.config import read_config, resolve
    from pipeline.errors import UserError
    from pipeline.runs.commit import git_commit
    from pipeline.runs.fleet import run_fleet
    from pipeline.runs.outcome import print_report
    from pipeline.runs.stopping import STOPPED
    from pipeline.tasks import resolve_tasks
    from pipeline.training.context import Interrupted

    try:
        document = read_config(options.config)
        configs = [resolve(document, task.name, options.overrides) for task in resolve_tasks(options.tasks)]
        console = Console(width=None if sys.stdout.isatty() else 120)
        outcomes = run_fleet(
            configs,
            experiment=options.experiment,
            commit=git_commit(ROOT),
            retrain=options.retrain,
            console=console,
        )
    except Interrupted as reason:
        print(reason, file=sys.stderr)
        return STOPPED
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_report(outcomes, console)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
