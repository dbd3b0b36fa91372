"""Measure speed, memory and quality on this machine; nothing is timed before its result was checked.

    python jobs/benchmark.py attention --output attention.jsonl
    python jobs/benchmark.py attention --device cuda
    python jobs/benchmark.py model --help

Each row of a table is one line of JSON in the --output file, with the commit, the device and the versions.
Exit status: 0 measured, 1 a result was wrong or a promised limit was missed, 2 bad input.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Sub-command → its module, which has `add_arguments(parser)`, `run(options) -> exit status` and a docstring for
# --help, and imports nothing heavy at its top.
SUBCOMMANDS = {
    "attention": "pipeline.benchmarks.attention",
    "model": "pipeline.benchmarks.model",
    "neighbours": "pipeline.benchmarks.neighbours",
    "loader": "pipeline.benchmarks.loader",
    "training": "pipeline.benchmarks.training",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns the exit status."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    commands = parser.add_subparsers(dest="command", required=True, metavar="BENCHMARK")
    modules = {name: importlib.import_module(path) for name, path in SUBCOMMANDS.items()}
    for name, module in modules.items():
        about = module.__doc__ or ""
        sub = commands.add_parser(name, help=about.split("\n")[0], description=about, formatter_class=kind)
        sub.add_argument("--output", metavar="FILE", help="append the rows to this file, one JSON object a line")
        module.add_arguments(sub)
    options = parser.parse_args(arguments)

    from pipeline.errors import UserError

    try:
        return modules[options.command].run(options)
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
