"""The image files of a local folder, and a count of all that is passed over: nothing is left out in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.entries import Kind, entries

SHOWN_KINDS = 8


@dataclass
class Found:
    """files: images by their suffix, by path. left_out: reason -> how many. unreadable: folders that may not be read
    or entered, of whose images nothing is known.
    """

    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: list[Path] = field(default_factory=list)

    def leave_out(self, name: str, kind: Kind, suffixes: Collection[str]) -> None:
        """Count one that is passed over; of hidden ones only what would be an image."""
        suffix = Path(name).suffix.lower()
        if kind == Kind.FILE:
            self.left_out[suffix or "files without suffix"] += 1
        elif kind != Kind.HIDDEN:
            self.left_out[kind.value] += 1
        elif suffix in suffixes:
            self.left_out["hidden images"] += 1

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
        if identity is not None and identity in seen:
            if identity != skipped:
                found.left_out["linked folders that are met elsewhere"] += 1
            continue
        try:
            inside = entries(here)
        except OSError:
            found.unreadable.append(here)
            continue
        if identity is not None:
            seen.add(identity)
        for entry, kind in inside:
            path = here / entry.name
            if kind == Kind.FOLDER:
                waiting.append(path)
            elif kind == Kind.LINKED_FOLDER:
                linked.append(path)
            elif kind == Kind.FILE and path.suffix.lower() in suffixes:
                found.files.append(path)
            else:
                found.leave_out(entry.name, kind, suffixes)
    for paths in (found.files, found.unreadable):
        paths.sort(key=lambda path: path.relative_to(folder).as_posix())
    return found


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
