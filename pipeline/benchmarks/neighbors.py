"""What fewer neighbors cost: a tiny SemanIR against a SwinIR-style twin (the same code keeping all N keys).

    python jobs/benchmark.py neighbors                    # about three minutes on two cores

Both are trained alike on the built-in photographs (color denoising, noise of 25 gray levels): same weights at the
start, same patches and noise, same number of steps. SemanIR draws k at random in every step, as the paper trains it,
and each is measured on the held-out photographs with k = N, N/2, N/4 and N/8 keys.
"""

from __future__ import annotations

import argparse

from pipeline.options import at_least, number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=at_least(1), default=600, help="training steps of each model (default: 600)")
    parser.add_argument(
        "--seeds", nargs="+", type=at_least(0), default=[0], help="one pair of models per seed (default: 0)"
    )
    parser.add_argument("--sigma", type=number(0, 255), default=25.0, help="noise in 8-bit gray levels (default: 25)")


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.neighbors_run import run_neighbors

    return run_neighbors(options)
