"""A training step under Ray Train and DeepSpeed, and the loop around it, against a bare PyTorch loop.

    python jobs/benchmark.py training
    python jobs/benchmark.py training --steps 100 --rounds 60 --output training.jsonl

ushape_tiny, 64 x 64 patches, batch 8, float32, on a Ray cluster of its own. One worker trains a bare model and the
engine's on the same batch, in turn, in one process; they must reach the same losses first. Then batches in memory
against streamed ones (decoded and degraded by a loader process), the loop's stopwatch, and two workers on two cores.
"""

from __future__ import annotations

import argparse

from pipeline.options import at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=at_least(1), default=40, help="timed steps of each kind in turn (default: 40)")
    parser.add_argument("--steps", type=at_least(1), default=40, help="steps of the whole loop (default: 40)")
    parser.add_argument("--threads", type=at_least(1), default=1, help="threads of one worker (default: 1)")


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.training_run import run_training_benchmark

    return run_training_benchmark(options)
