"""Command lines that say what is wrong with them in one line: which option, its value, and the limit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from pipeline.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser that raises UserError, which a command prints, where argparse prints its usage and ends the process."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Raises UserError for what this parser does not know, below its own usage.

        argparse hands it to the outermost parser instead, whose usage lists commands and no options.
        """
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.print_usage(sys.stderr)
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown


def at_least(least: int) -> Callable[[str], int]:
    """The ``type`` of an option that takes a whole number of ``least`` or more."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r:.40} is no whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}, the least")
        return value

    return read
