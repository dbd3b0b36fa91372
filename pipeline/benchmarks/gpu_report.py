"""Every figure that needs a GPU, in one command of at most nine minutes, as one page.

    python -m pipeline.benchmarks.gpu_report                       # writes pipeline/benchmarks/gpu.md
    python -m pipeline.benchmarks.gpu_report --sections training restoring         # these two anew, the others stay
    python -m pipeline.benchmarks.gpu_report --device cpu --small --page report.md   # the same paths, tiny, anywhere

Needs PyTorch (and Triton) and this working tree, nothing else: no Ray, no MLflow, no installation. Each section checks
its result against a float32 reference first; what is wrong gets no figure and fails the run. Sections that the time
does not reach are named. What a page already has of sections that are not measured anew, and all that stands below its
line `<!-- below: written by hand -->`, stays there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.benchmarks.gpu_page import SECTIONS
from pipeline.options import above


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes: shows that every path runs, no figures to quote"
    )
    parser.add_argument(
        "--page",
        type=Path,
        help="the page to write (default: pipeline/benchmarks/gpu.md; none with --small or --device cpu)",
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=SECTIONS,
        metavar="SECTION",
        default=SECTIONS,
        help=f"measure these alone, in the given order (default: {' '.join(SECTIONS)})",
    )
    parser.add_argument(
        "--minutes", type=above(0, 1440), default=9.0, help="begin no section after this time (default: 9)"
    )


def run(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.gpu_run import run_report

    return run_report(options)


def main(arguments: Sequence[str] | None = None) -> int:
    from pipeline.errors import UserError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", metavar="FILE", help="append the rows to this file, one JSON object a line")
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
