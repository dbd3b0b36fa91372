"""What mosaicml streaming leaves in shared memory when its processes are killed: removed after the measurement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED = Path("/dev/shm")
NAME = re.compile(r"\d{6}_[a-z_]+")


@contextmanager
def cleared_after(shared: Path = SHARED) -> Iterator[None]:
    """Remove the segments of mosaicml streaming's kind that were not there before the block."""
    before = _segments(shared)
    try:
        yield
    finally:
        for path in _segments(shared) - before:
            path.unlink(missing_ok=True)


def _segments(shared: Path) -> set[Path]:
    return {path for path in shared.glob("*") if NAME.fullmatch(path.name)}
