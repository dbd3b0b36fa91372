"""What reading a mutated input may do: take bounded time and memory, and open no file but its own."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_SECONDS = 20.0  # of one input, of processor time
MOST_GROWTH = 1 << 30  # bytes of memory over all inputs
_ALLOWED = ("/proc", "/sys", "/dev/urandom", "/dev/null", "/usr/", "/etc/localtime", sys.prefix, sys.base_prefix)
_ROOT = str(Path(__file__).resolve().parents[2])
_inside: list[tuple[str, ...]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _inside or not isinstance(arguments[0], str | bytes):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    # Code is imported when it is first needed.
    if not path.startswith(_inside[-1]) and not (path.startswith(_ROOT) and path.endswith((".py", ".pyc", ".csv"))):
        raise AssertionError(f"it opened {path}")


sys.addaudithook(_audit)  # cannot be taken away again: does nothing outside the block


@contextmanager
def bounded(name: str, scratch: Path, before: int) -> Iterator[None]:
    """Raise AssertionError when the block breaks a bound. before: the process's memory at the beginning, in bytes."""
    _inside.append((str(scratch), *_ALLOWED))
    started = time.process_time()
    try:
        yield
    finally:
        _inside.pop()
    if (took := time.process_time() - started) > MOST_SECONDS:
        raise AssertionError(f"{name} took {took:.0f} s")
    if (grown := peak_memory() - before) > MOST_GROWTH:
        raise AssertionError(f"{name}: the process has taken {grown >> 20} MiB")


def peak_memory() -> int:
    """The most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
