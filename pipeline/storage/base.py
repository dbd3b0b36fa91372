"""What every store can do. Keys are relative to the URI it was opened with, with ``/`` between parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.entries import Kind
from pipeline.errors import UserError


class StorageUnavailable(UserError):
    """The store did not answer within the deadline. No proof of damage: never a reason to skip."""


@dataclass(frozen=True)
class Entry:
    """One stored object: its key, and its size in bytes."""

    key: str
    size: int
    version: str  # changes when the content does (ETag, or modification time): for fingerprints only


class Storage(Protocol):
    """Objects under one URI.

    A missing object raises ``FileNotFoundError``, a refused one ``PermissionError`` (both name the full URI),
    and a store that stays silent past the deadline ``StorageUnavailable``.
    """

    @property
    def uri(self) -> str:
        """The address this store was opened with, without a trailing slash."""

    def read(self, key: str) -> bytes:
        """The whole object."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Bytes [start, start + length); fewer when the object ends before."""

    def write(self, key: str, data: bytes, only_if_absent: bool = False) -> None:
        """Store the object atomically: a reader sees the old one or the new one.

        With ``only_if_absent`` an object that exists already raises ``FileExistsError``.
        """

    def write_file(self, key: str, path: Path) -> None:
        """Store a local file, of any size and without reading it into memory; atomically too."""

    def copy(self, key: str, new_key: str) -> None:
        """Store the object of ``key``, of any size, under ``new_key`` too, without passing through this machine."""

    def list(
        self,
        prefix: str = "",
        unreadable: Callable[[str], None] | None = None,
        left_out: Callable[[str, Kind], None] = lambda name, kind: None,
    ) -> Iterator[Entry]:
        """Objects whose key starts with ``prefix``, in the order of their keys.

        unreadable: told, in the same order, of each folder that may not be read (its key with a slash at the end),
        which is then passed over; without it such a folder raises ``PermissionError``. left_out: told of each name in
        a folder that is no object here, with its kind; on S3 there are none.
        """

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    def size(self, key: str) -> int:
        """Its length in bytes."""

    def delete(self, key: str) -> None:
        """Remove it; removing what is not there is no error."""

    def prune(self, folder: str) -> None:
        """Remove a folder that no object lies in, with the folders in it and what writers that died left half written.

        For folders that nobody writes into meanwhile. On S3 there are none.
        """


def checked_key(key: str) -> str:
    """The key itself, when it stays inside the store; a key that could leave it raises ``ValueError``."""
    if not is_plain_key(key):
        raise ValueError(f"storage key {key!r} leaves its folder or is empty; use relative names such as 'a/b.tar'")
    return key


def is_plain_key(key: str) -> bool:
    """Whether a key stays inside its store, on disk and on S3 alike; what a server lists may have other names."""
    return "\\" not in key and "\0" not in key and not any(part in ("", ".", "..") for part in key.split("/"))
