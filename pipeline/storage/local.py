"""A folder as a store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.entries import Kind, entries
from pipeline.storage.base import Entry, checked_key

COPY_BYTES = 2**20
_HALF = ".writing-"  # what is not yet an object


class LocalStorage:
    """Files under one folder; see ``Storage`` for the methods. The folder appears with the first write."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).expanduser()

    @property
    def uri(self) -> str:
        return str(self.folder)

    def _path(self, key: str) -> Path:
        return self.folder / checked_key(key)

    def read(self, key: str) -> bytes:
        return self._path(key).read_bytes()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with open(self._path(key), "rb", buffering=0) as file:
            file.seek(start)
            return file.read(length)

    def write(self, key: str, data: bytes, only_if_absent: bool = False) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_HALF, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            if only_if_absent:
                os.link(name, path)  # unlike replace, refuses an existing target
            else:
                os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)

    def write_file(self, key: str, path: Path) -> None:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_HALF, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file, open(path, "rb") as source:
                shutil.copyfileobj(source, file, COPY_BYTES)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)

    def copy(self, key: str, new_key: str) -> None:
        self.write_file(new_key, self._path(key))

    def list(
        self,
        prefix: str = "",
        unreadable: Callable[[str], None] | None = None,
        left_out: Callable[[str, Kind], None] = lambda name, kind: None,
    ) -> Iterator[Entry]:
        if self.folder.is_dir():
            yield from _below(self.folder, "", prefix, unreadable, left_out)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        return self._path(key).stat().st_size

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def prune(self, folder: str) -> None:
        for inside, _, names in os.walk(self._path(folder), topdown=False):
            for name in names:
                if name.startswith(_HALF):
                    Path(inside, name).unlink(missing_ok=True)
            with suppress(OSError):  # something lies in it
                os.rmdir(inside)


def _below(
    folder: Path,
    start: str,
    prefix: str,
    unreadable: Callable[[str], None] | None,
    left_out: Callable[[str, Kind], None],
) -> Iterator[Entry]:
    """The files below a folder in the order of their keys, with the names of one folder a level in memory.

    A folder sorts as its name with a slash, as it does among whole keys: ``a.png`` comes before ``a/b.png``. Hidden
    names, links to folders, and links that lead nowhere are left out: of a linked folder only who holds all names in
    memory can say whether it was met before.
    """
    try:
        inside = entries(folder)
    except PermissionError:
        if unreadable is None or not start:  # the store itself: nothing of it would be left
            raise
        unreadable(start)
        return
    found: list[tuple[str, os.DirEntry[str]]] = []
    for entry, kind in inside:
        if kind in (Kind.FILE, Kind.FOLDER):
            found.append((entry.name + "/" * (kind == Kind.FOLDER), entry))
        else:
            left_out(entry.name, kind)
    for name, entry in sorted(found, key=lambda named: named[0]):
        key = start + name
        if name.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _below(Path(entry.path), key, prefix, unreadable, left_out)
        elif key.startswith(prefix):
            try:
                status = entry.stat()
            except FileNotFoundError:  # deleted since the folder was read
                continue
            except PermissionError:  # a link to where this user may not look: whoever reads it says so of it
                yield Entry(key, 0, "")
                continue
            yield Entry(key, status.st_size, str(status.st_mtime_ns))
