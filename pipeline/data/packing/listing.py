"""The image files under a folder or S3 prefix, and one line about all that is passed over there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pipeline.data.images import SUFFIXES
from pipeline.errors import UserError
from pipeline.images.folders import Found, find_images
from pipeline.storage import open_storage
from pipeline.storage.base import Entry, is_plain_key
from pipeline.wording import counted

Say = Callable[[str], None]


def list_images(uri: str, say: Say) -> tuple[list[Entry], int]:
    """Images by their suffixes, in the order of their keys, and how many files are of other kinds.

    Raises:
        UserError: no such folder, or one below it may not be read: a data set lacks nothing in silence.
    """
    if "://" in uri:
        images, found = [], Found()
        for entry in open_storage(uri).list():
            suffix = os.path.splitext(entry.key)[1].lower()
            if suffix in SUFFIXES and not is_plain_key(entry.key):
                found.left_out["names that are no paths (a//b, ../b, a\\b)"] += 1
            elif suffix in SUFFIXES:
                images.append(entry)
            else:
                found.left_out[suffix or "files without suffix"] += 1
    else:
        if not os.path.isdir(uri):
            raise UserError(f"image folder {uri!r} does not exist")
        found = find_images(Path(uri), SUFFIXES)
        if found.unreadable:
            first, *others = found.unreadable
            more = f" and {counted(len(others), 'other')}" if others else ""
            raise UserError(f"folder {str(first)!r}{more} may not be read or entered by this user; chmod or move it")
        images = [_entry(Path(uri), path) for path in found.files]
    if found.left_out:
        say(found.line(uri))
    return images, found.left_out.total()


def _entry(folder: Path, path: Path) -> Entry:
    status = path.stat()
    return Entry(path.relative_to(folder).as_posix(), status.st_size, str(status.st_mtime_ns))
