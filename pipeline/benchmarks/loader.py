"""Samples per second and core of our stream, of plain WebDataset, of a folder of PNGs and of mosaicml-streaming.

    python jobs/benchmark.py loader                                      # built-in photographs, from disk
    python jobs/benchmark.py loader --images photos/ --s3 s3://semanir/bench --mosaic-python env/bin/python
    python jobs/benchmark.py loader --order-only                         # the sample order at 100 million samples

All read the same 480-pixel sub-images, cut one 128-pixel patch of each and add noise by the same code; each is
first seen to deliver the same pixels. mosaicml-streaming needs an environment of its own (NumPy < 2.2, torchvision).
"""

from __future__ import annotations

import argparse

from pipeline.options import above, at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", metavar="FOLDER", help="photographs to measure with (default: the built-in ones)")
    parser.add_argument("--s3", metavar="URI", help="also pack them there and measure from S3")
    parser.add_argument("--mosaic-python", metavar="PATH", help="a Python that has mosaicml-streaming; measured too")
    parser.add_argument("--samples", type=at_least(1), default=256, help="per loader and round (default: 256)")
    parser.add_argument("--rounds", type=at_least(1), default=5, help="rounds in turn; the median counts (default: 5)")
    parser.add_argument(
        "--gpu-tflops", type=above(0, 1e6), default=300.0, metavar="N",
        help="training throughput of one H200 that is assumed (default: 300, 30%% of its dense bf16 peak of 989)",
    )  # fmt: skip
    parser.add_argument("--order-only", action="store_true", help="measure the sample order alone")


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.loader_run import run_loader

    return run_loader(options)
