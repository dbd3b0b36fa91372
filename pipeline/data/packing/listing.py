"""The image files under a folder or S3 prefix, or in a tar, and one line about all that is passed over there."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

from pipeline.data.images import SUFFIXES
from pipeline.entries import Kind, is_hidden
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
            if entry.key.endswith("/"):
                continue  # the mark of an empty folder, as S3's consoles make it
            if suffix in SUFFIXES and not is_plain_key(entry.key):
                found.left_out["names that are no paths (a//b, ../b, a\\b)"] += 1
            elif is_hidden(entry.key):
                found.leave_out(entry.key, Kind.HIDDEN, SUFFIXES)
            elif suffix in SUFFIXES:
                images.append(entry)
            else:
                found.leave_out(entry.key, Kind.FILE, SUFFIXES)
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


def list_members(tar: tarfile.TarFile, uri: str, say: Say) -> tuple[list[tarfile.TarInfo], int]:
    """Images by their suffixes, in the order of the tar, and how many members are of other kinds.

    Raises:
        UserError: the name of an image leaves its folder.
    """
    images, found = [], Found()
    for member in tar:
        kind = _kind(member)
        is_image = kind in (Kind.FILE, Kind.HIDDEN) and Path(member.name).suffix.lower() in SUFFIXES
        if is_image and (member.name.startswith("/") or ".." in member.name.split("/")):
            raise UserError(f"{uri!r}: the member {member.name!r} leaves its folder; such archives are refused")
        if is_image and kind == Kind.FILE and member.issparse():
            found.left_out["sparse members"] += 1  # their bytes do not lie one behind the other
        elif is_image and kind == Kind.FILE:
            images.append(member)
        elif kind != Kind.FOLDER:
            found.leave_out(member.name, kind, SUFFIXES)
    if found.left_out:
        say(found.line(uri))
    return images, found.left_out.total()


def _kind(member: tarfile.TarInfo) -> Kind:
    if is_hidden(member.name):
        return Kind.HIDDEN
    if member.isdir():
        return Kind.FOLDER
    if member.isreg():
        return Kind.FILE
    return Kind.LINK if member.islnk() or member.issym() else Kind.SPECIAL


def _entry(folder: Path, path: Path) -> Entry:
    status = path.stat()
    return Entry(path.relative_to(folder).as_posix(), status.st_size, str(status.st_mtime_ns))
