"""Command lines that say what is wrong with them in one line: which option, its value, and the limit."""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pipeline.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser that raises UserError, which a command prints, where argparse prints its usage and ends the process."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Raises UserError for what this parser does not know, below its own usage, and for empty arguments.

        argparse hands the unknown to the outermost parser instead, whose usage lists commands and no options. Empty is
        what a shell makes of a variable that is not set: taken for "not given", or for this folder, it does something
        that nobody asked for.
        """
        given = list(sys.argv[1:] if args is None else args)
        options, unknown = super().parse_known_args(args, namespace)
        if (empty := _empty_argument(given)) is not None:
            self.error(f"{empty}: an empty value; give one, or leave it out")
        if unknown:
            self.print_usage(sys.stderr)
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown


def _empty_argument(given: Sequence[str]) -> str | None:
    """What the first empty argument belongs to, as far as the command line tells; None: there is none."""
    for before, word in itertools.pairwise(["", *given]):
        if word == "":
            return f"argument {before}" if before.startswith("--") else f"argument after {before!r:.40}"
        if re.fullmatch(r"--[\w-]+=", word):
            return f"argument {word[:-1]}"
    return None


@dataclass(frozen=True)
class Number:
    """The ``type`` of an option that takes a number in a range: the function that reads it.

    least, most: what it may be. above: whether ``least`` itself is not allowed. whole: whether only whole numbers are.
    """

    least: float
    most: float
    above: bool = False
    whole: bool = False

    def __call__(self, text: str) -> Any:
        """The number that ``text`` is; raises ArgumentTypeError, in one line, for all else."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            kind = "whole number" if self.whole else "number"
            raise argparse.ArgumentTypeError(f"{text!r:.40} is no {kind}") from None
        if value != value:
            raise argparse.ArgumentTypeError(f"{text} is no number")
        if value < self.least or (self.above and value == self.least):
            least = f"{self.least:.17g}"
            told = f"is not above {least}" if self.above else f"is below {least}, the least"
            raise argparse.ArgumentTypeError(f"{text:.40} {told}")
        if value > self.most:
            raise argparse.ArgumentTypeError(f"{text:.40} is above {self.most:.17g}, the most")
        return value


def at_least(least: int, most: int = 2**53) -> Number:
    """The ``type`` of an option that takes a whole number from ``least`` to ``most``."""
    return Number(least, most, whole=True)


def number(least: float, most: float) -> Number:
    """The ``type`` of an option that takes a number from ``least`` to ``most``."""
    return Number(least, most)


def above(least: float, most: float) -> Number:
    """The ``type`` of an option that takes a number above ``least``, up to ``most``."""
    return Number(least, most, above=True)
