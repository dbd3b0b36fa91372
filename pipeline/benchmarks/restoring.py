"""A large photograph on this CPU: tiles in turn or side by side, and in other runtimes, beside the processor's limit.

    python jobs/benchmark.py restore
    python jobs/benchmark.py restore --megapixels 12 --models ushape_light --runtimes onnxruntime openvino

Every result is compared with that of tiles in turn before it is timed. The limit is what a convolution and a matrix
product of this processor reach, measured in the same run.
"""

from __future__ import annotations

import argparse

from pipeline.options import above, at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", default=["ushape_light"], metavar="NAME")
    parser.add_argument(
        "--megapixels", type=above(0, 200), default=3.0, metavar="N", help="of the photograph (default: 3)"
    )
    parser.add_argument("--runtimes", nargs="*", default=[], metavar="NAME", help="also: onnxruntime, openvino")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="rounds in turn; the median counts (default: 3)")


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.restoring_run import run_restoring

    return run_restoring(options)
