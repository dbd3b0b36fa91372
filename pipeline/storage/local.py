"""A folder as a store."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.storage.base import Entry, checked_key

COPY_BYTES = 2**20


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
        handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
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
        handle, name = tempfile.mkstemp(prefix=".writing-", dir=target.parent)
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

    def list(self, prefix: str = "", unreadable: Callable[[str], None] | None = None) -> Iterator[Entry]:
        if self.folder.is_dir():
            yield from _below(self.folder, "", prefix, unreadable)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        return self._path(key).stat().st_size

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)


def _below(folder: Path, start: str, prefix: str, unreadable: Callable[[str], None] | None) -> Iterator[Entry]:
    """The files below a folder in the order of their keys, with the names of one folder a level in memory.

    A folder sorts as its name with a slash, as it does among whole keys: ``a.png`` comes before ``a/b.png``. Hidden
    names, links to folders, and links that lead nowhere are left out.
    """
    try:
        entries = _sorted_entries(folder)
    except PermissionError:
        if unreadable is None or not start:  # the store itself: nothing of it would be left
            raise
        unreadable(start)
        return
    for name, entry in entries:
        key = start + name
        if name.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _below(Path(entry.path), key, prefix, unreadable)
        elif key.startswith(prefix):
            try:
                status = entry.stat()
            except FileNotFoundError:  # deleted since the folder was read
                continue
            yield Entry(key, status.st_size, str(status.st_mtime_ns))


def _sorted_entries(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    # Who may read a folder and not enter it sees names, and nothing behind them.
    if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    with os.scandir(folder) as found:
        return sorted(
            (
                (entry.name + "/" * entry.is_dir(follow_symlinks=False), entry)
                for entry in found
                if not entry.name.startswith(".") and (entry.is_dir(follow_symlinks=False) or _is_file(entry))
            ),
            key=lambda named: named[0],
        )


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False  # a link in a circle has no more behind it than one to nothing
