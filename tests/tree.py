"""The files of the project, as they lie in a checkout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = {"build", "dist", "out", "restored", "runs"}  # and whatever begins with a dot


def files(*suffixes: str, folder: Path = ROOT) -> Iterator[Path]:
    """All files of the tree with these suffixes, in order, but for environments and what commands leave behind."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and not (folder == ROOT and path.name in NOT_SOURCE):
            yield from files(*suffixes, folder=path)
        elif path.suffix in suffixes:
            yield path
