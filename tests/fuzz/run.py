"""Reads mutated inputs of every kind in turn."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

from tests.fuzz.case import OURS, Case, check_line
from tests.fuzz.mutate import mutate
from tests.fuzz.watch import bounded, peak_memory

SEED = 20_261_125


def run(cases: Sequence[Case], total: int, scratch: Path, seed: int = SEED) -> dict[str, tuple[int, int]]:
    """``total`` mutated inputs; how many of each kind were read, and how many of them refused.

    Raises AssertionError for an exception that is not ours, a message of several lines, and a bound of watch.bounded,
    naming kind, number and seed.
    """
    with _temporary_files_in(scratch):
        return _read_all(cases, total, scratch, seed)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Where the readers' own temporary files go, to be seen and bounded; later tests get the usual place again."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _read_all(cases: Sequence[Case], total: int, scratch: Path, seed: int) -> dict[str, tuple[int, int]]:
    for case in cases:
        case.read(case.sound)
    before = peak_memory()
    counts = {case.name: [0, 0] for case in cases}
    for number, case in islice(_turns(cases), total):
        name = f"input {number} of {case.name}, seed {seed}"
        data = mutate(case.sound, random.Random(f"{seed} {case.name} {number}"))
        counts[case.name][0] += 1
        try:
            with bounded(name, scratch, before):
                case.read(data)
        except OURS as error:
            counts[case.name][1] += 1
            check_line(name, str(error))
        except AssertionError:
            raise
        except BaseException as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
    return {name: (read, refused) for name, (read, refused) in counts.items()}


def _turns(cases: Sequence[Case]) -> Iterator[tuple[int, Case]]:
    """Round by round, the cases that take part, with the number of the round."""
    for number in count():
        yield from ((number, case) for case in cases if number % case.every == 0)
