"""A folder as a store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
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

    def list(self, prefix: str = "") -> Iterator[Entry]:
        found = []
        for root, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(root, name)
                key = path.relative_to(self.folder).as_posix()
                if key.startswith(prefix) and not name.startswith("."):
                    found.append((key, path))
        for key, path in sorted(found):
            status = path.stat()
            yield Entry(key, status.st_size, str(status.st_mtime_ns))

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        return self._path(key).stat().st_size

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)
