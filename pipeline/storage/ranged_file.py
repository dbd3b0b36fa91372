"""A stored object as a seekable, read-only file: each read is one ranged request."""

from __future__ import annotations

import io

from pipeline.storage.base import Storage


class RangedFile(io.RawIOBase):
    """For readers that take a file object, such as pyarrow's Parquet reader; reads nothing until asked."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._length = storage.size(key)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        remaining = max(0, self._length - self._at)
        wanted = remaining if size is None or size < 0 else min(size, remaining)
        data = self._storage.read_range(self._key, self._at, wanted) if wanted else b""
        self._at += len(data)
        return data
