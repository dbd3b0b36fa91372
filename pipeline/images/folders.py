"""The image files of a local folder, and a count of all that is passed over: nothing is left out in silence."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SHOWN_KINDS = 8


@dataclass
class Found:
    """files: images by their suffix, by path. left_out: reason -> how many."""

    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def line(self, where: object) -> str:
        """What was passed over, in one line; empty when nothing was."""
        if not self.left_out:
            return ""
        most = self.left_out.most_common()
        shown = [f"{count} {reason}" for reason, count in most[:SHOWN_KINDS]]
        rest = sum(count for _, count in most[SHOWN_KINDS:])
        return f"left out of {where}: {', '.join([*shown, *([f'{rest} others'] if rest else [])])}"


def find_images(folder: Path, suffixes: Collection[str], output: Path | None = None) -> Found:
    """All regular files below a folder whose suffix is one of ``suffixes`` (lower case), sorted by path.

    Links to files and folders are followed, each folder once, so that a link to one above ends nowhere. Hidden names,
    and ``output``, where results go, are passed over.
    """
    found = Found()
    seen: set[tuple[int, int]] = set()
    skipped = None if output is None else _identity(output)
    if skipped is not None:
        seen.add(skipped)
    linked: list[Path] = []
    waiting = [folder]
    while waiting or linked:
        here = waiting.pop() if waiting else linked.pop(0)  # true folders first: a link must not take their place
        identity = _identity(here)
        if identity is None or identity in seen:
            if identity != skipped:
                found.left_out["linked folders that are met elsewhere" if identity else "unreadable folders"] += 1
            continue
        seen.add(identity)
        for entry in _entries(here, found):
            path = here / entry.name
            if entry.name.startswith("."):
                if path.suffix.lower() in suffixes:
                    found.left_out["hidden images"] += 1
            elif entry.is_dir():
                (linked if entry.is_symlink() else waiting).append(path)
            elif not entry.is_file():
                found.left_out["links to nothing" if entry.is_symlink() else "no regular files"] += 1
            elif path.suffix.lower() not in suffixes:
                found.left_out[path.suffix.lower() or "files without suffix"] += 1
            else:
                found.files.append(path)
    found.files.sort(key=lambda path: path.relative_to(folder).as_posix())
    return found


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _entries(folder: Path, found: Found) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name)
    except OSError:
        found.left_out["unreadable folders"] += 1
