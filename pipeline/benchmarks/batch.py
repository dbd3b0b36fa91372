"""A folder of small photographs on the workers of a Ray cluster: images per second of two workers beside one.

    python jobs/benchmark.py batch
    python jobs/benchmark.py batch --images 5000 --size 32 --workers 1 2 4 --output batch.jsonl

Pieces of a photograph are restored by `semanir restore --on-ray`, in rounds, with each number of workers in turn; every
result's bytes are compared with the first run's, and some with those of this process alone. Two figures: of the middle
of the run, when all workers are at work, and of the whole command, which starts them and loads the model. Without
RAY_ADDRESS a cluster of this machine alone is started, with a CPU for each worker.
"""

from __future__ import annotations

import argparse

from pipeline.options import at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("--model", default="shipped:unified_color", help="as for semanir restore (default: shipped:unified_color)")
    add("--images", type=at_least(8, 10**6), default=1500, help="how many (default: 1500)")
    add("--size", type=at_least(8, 512), default=48, help="their side in pixels (default: 48)")
    add("--workers", type=at_least(1, 64), nargs="+", default=[1, 2], metavar="N", help="how many (default: 1 2)")
    add("--rounds", type=at_least(1), default=3, help="rounds in turn; the median counts (default: 3)")


def run(options: argparse.Namespace) -> int:
    """Measure; returns the exit status."""
    from pipeline.benchmarks.batch_run import run_batch

    return run_batch(options)
