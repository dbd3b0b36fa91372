"""The program ``semanir``: every command of this project behind one name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata

from pipeline.commands import benchmark, door, evaluate, models, prepare, restore, serve, train, tune
from pipeline.options import Parser

# In the order of `semanir --help`: first what a person with images needs, then what a trainer needs.
COMMANDS: dict[str, door.Command] = {
    "restore": restore,
    "serve": serve,
    "models": models,
    "prepare": prepare,
    "train": train,
    "tune": tune,
    "evaluate": evaluate,
    "benchmark": benchmark,
}


def build_parser() -> Parser:
    """The parser of ``semanir`` with a sub-command per entry of ``COMMANDS``."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="semanir", description="Restore images, and train the models that do.", epilog=door.EXIT_STATUS,
        formatter_class=kind, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="print the version, and stop")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        about = command.__doc__ or ""
        sub = commands.add_parser(
            name, help=about.split("\n")[0], description=about, formatter_class=kind, allow_abbrev=False
        )
        door.fill(sub, command)
    return parser


class ShowVersion(argparse.Action):
    """Print the version, and stop."""

    def __call__(self, *_: object) -> None:
        print(metadata.version("semanir-on-ray"))
        raise SystemExit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (default: the process's own) name; returns the exit status."""
    return door.run_parser(build_parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
