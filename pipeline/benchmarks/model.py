"""Whole models: parameters, multiply-accumulates, time and memory of inference and of a training step, by backend.

    python jobs/benchmark.py model
    python jobs/benchmark.py model --models columnar_small columnar_base ushape_base --device cuda

Every backend's output is compared with that of `mask`, the readable reference, before it is timed.
"""

from __future__ import annotations

import argparse

from pipeline.options import at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--models", nargs="+", default=["columnar_small", "ushape_base"], metavar="NAME")
    parser.add_argument(
        "--backends", nargs="+", metavar="NAME", help="default: mask, and what auto takes for training on the device"
    )
    parser.add_argument("--size", type=at_least(1), default=64, help="side of the square input in pixels (default: 64)")
    parser.add_argument("--batch", type=at_least(1), default=1, help="images at once (default: 1)")
    parser.add_argument("--window", type=at_least(1), help="window side in tokens (default: the published one)")
    parser.add_argument("--k", type=at_least(1), help="kept keys (default: the published share of the window)")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="timed calls; the median counts (default: 3)")


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.model_run import run_model

    return run_model(options)
