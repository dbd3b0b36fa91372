"""Measure speed, memory and quality on this machine; nothing is timed before its result was checked.

    semanir benchmark attention --output attention.jsonl
    python jobs/benchmark.py attention --device cuda
    python jobs/benchmark.py model --help

Each row of a table is one line of JSON in the --output file, with the commit, the device and the versions.
Exit status: 0 measured, 1 a result was wrong or a promised limit was missed, 2 bad input.
"""

from __future__ import annotations

import argparse
import importlib

# Sub-command -> its module, which has `add_arguments(parser)`, `run(options) -> exit status` and a docstring for
# --help, and imports nothing heavy at its top.
SUBCOMMANDS = {
    "attention": "pipeline.benchmarks.attention",
    "model": "pipeline.benchmarks.model",
    "neighbors": "pipeline.benchmarks.neighbors",
    "loader": "pipeline.benchmarks.loader",
    "restore": "pipeline.benchmarks.restoring",
    "training": "pipeline.benchmarks.training",
    "batch": "pipeline.benchmarks.batch",
    "video": "pipeline.benchmarks.video",
    "gpu": "pipeline.benchmarks.gpu_report",
    "peers": "pipeline.benchmarks.peers.command",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line: one sub-command per benchmark."""
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, path in SUBCOMMANDS.items():
        module = importlib.import_module(path)
        about = module.__doc__ or ""
        sub = commands.add_parser(
            name,
            help=about.split("\n")[0],
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--output", metavar="FILE", help="append the rows to this file, one JSON object a line")
        module.add_arguments(sub)
        sub.set_defaults(measure=module.run)


def run(options: argparse.Namespace) -> int:
    """Run one benchmark; returns the exit status. Raises UserError on bad input."""
    from pipeline.errors import UserError

    try:
        return int(options.measure(options))
    except ValueError as error:
        raise UserError(str(error)) from error
