"""What stands in a folder of images: the one policy of all that walk through folders, tars and stores."""

from __future__ import annotations

import errno
import os
from enum import StrEnum


class Kind(StrEnum):
    """FILE, FOLDER, LINKED_FOLDER: what may hold images. All others are left out, for the reason that they say."""

    FILE = "file"
    FOLDER = "folder"
    LINKED_FOLDER = "linked folders"
    HIDDEN = "hidden"
    BROKEN = "links to nothing"
    LINK = "links"  # in a tar: what it means is another member, which is taken by itself, or lies outside
    SPECIAL = "no regular files"


def may_be_read(folder: str | os.PathLike[str]) -> bool:
    """Whether this user sees the names in a folder, and what is behind them."""
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=True)


def is_hidden(key: str) -> bool:
    """Whether a name, or a folder on its way, is hidden: so in a tar and on S3, where nothing else says what is."""
    return any(part.startswith(".") and part not in (".", "..") for part in key.split("/"))


def entries(folder: str | os.PathLike[str]) -> list[tuple[os.DirEntry[str], Kind]]:
    """All entries, by name, each with its kind.

    A link to a file is a file; one in a circle has no more behind it than one to nothing. A link to where this user may
    not look counts as a file, which cannot be read: a person has named it as one.

    Raises:
        PermissionError: who may read a folder and not enter it sees names, and nothing behind them.
    """
    if not may_be_read(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    with os.scandir(folder) as found:
        return [(entry, _kind(entry)) for entry in sorted(found, key=lambda entry: entry.name)]


def _kind(entry: os.DirEntry[str]) -> Kind:
    if is_hidden(entry.name):
        return Kind.HIDDEN
    try:
        if entry.is_dir():
            return Kind.LINKED_FOLDER if entry.is_symlink() else Kind.FOLDER
        if entry.is_file():
            return Kind.FILE
    except PermissionError:
        return Kind.FILE
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return Kind.BROKEN if entry.is_symlink() else Kind.SPECIAL
