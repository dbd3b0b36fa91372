"""Every attention backend side by side: parity, time of forward and of forward + backward, peak extra memory.

    python jobs/benchmark.py attention                     # the CPU's lines
    python jobs/benchmark.py attention --device cuda       # the GPU's lines, training step included

Each backend is compared with the float32 reference first; one that disagrees gets no time and fails the run.
"""

from __future__ import annotations

import argparse

from pipeline.options import above, at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="default: all that can run on the device")
    parser.add_argument("--tokens", nargs="+", type=at_least(1), default=[64, 256, 1024, 4096], metavar="N")
    parser.add_argument(
        "--rounds", type=at_least(1), default=5, help="timed calls per backend; the median counts (default: 5)"
    )
    parser.add_argument(
        "--memory-limit",
        type=above(0, 2**20),
        metavar="GIB",
        help="leave out what would need more (default: 4 on a CPU)",
    )


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.attention_run import run_attention

    return run_attention(options)
