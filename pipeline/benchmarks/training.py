"""A training step under DeepSpeed and the loop around it, against a bare PyTorch loop on the same batches.

    python jobs/benchmark.py training
    python jobs/benchmark.py training --steps 100 --rounds 30 --output training.jsonl

ushape_tiny, 64 x 64 patches, batch 8, float32, one worker and one thread. Both train on the same batches first and
must reach the same losses; the loop's own share of a step is what its stopwatch gives to no forward, backward or
optimizer step.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=15, help="timed steps of each kind in turn (default: 15)")
    parser.add_argument("--steps", type=int, default=40, help="steps of the whole loop (default: 40)")
    parser.add_argument("--threads", type=int, default=1, help="threads of one worker (default: 1)")


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.training_run import run_training_benchmark

    return run_training_benchmark(options)
