"""Whole shards kept on local disk, up to a bound, for data that lies far away.

Every epoch reads all shards in a new order, where throwing out the least recently used is the worst policy. So a
shard that was admitted stays, and what finds no room is read from the store as without a cache: with room for a
share s of the data, the share s of the reads is local from the second epoch on.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.manifest import Manifest, Shard
from pipeline.storage import Storage, StorageUnavailable

CHUNK_BYTES = 8 * 2**20
ABANDONED_S = 600.0  # a copy that has not grown for so long was left by a process that died


@dataclass(frozen=True)
class CacheSettings:
    """Where copies of shards go, and how many bytes they may take together. Processes of a machine may share it."""

    folder: str
    limit_bytes: int


class ShardCache:
    """Ranged reads of one dataset's shards: from the local copy if there is one, else from the store.

    The first read of a shard starts copying it, in one background thread, if it fits. A copy counts once its
    SHA-256 is the manifest's.
    """

    def __init__(self, storage: Storage, manifest: Manifest, settings: CacheSettings) -> None:
        self._storage = storage
        self._shards = {shard.name: shard for shard in manifest.shards}
        self._root = Path(settings.folder).expanduser()
        self._folder = self._root / manifest.digest[:16]
        self._limit = settings.limit_bytes
        self._copying: dict[str, Future[None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shard-cache")

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Bytes of a shard, as ``Storage.read_range``."""
        with suppress(FileNotFoundError), open(self._folder / name, "rb", buffering=0) as file:
            file.seek(start)
            return file.read(length)
        if name not in self._copying:
            self._copying[name] = self._pool.submit(self._copy, self._shards[name])
        return self._storage.read_range(name, start, length)

    def drop(self, name: str) -> bool:
        """Forget a local copy that turned out damaged; whether there was one."""
        with suppress(FileNotFoundError):
            os.unlink(self._folder / name)
            return True
        return False

    def wait(self) -> None:
        """Until the copies that were begun have ended."""
        for future in list(self._copying.values()):
            future.result()

    def close(self) -> None:
        """Begin no further copy."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _copy(self, shard: Shard) -> None:
        part = self._folder / f"{shard.name}.part"
        if not self._reserve(part, shard):
            return
        digest = hashlib.sha256()
        try:
            with open(part, "r+b") as file:
                for start in range(0, shard.size, CHUNK_BYTES):
                    data = self._storage.read_range(shard.name, start, min(CHUNK_BYTES, shard.size - start))
                    digest.update(data)
                    file.write(data)
            if digest.hexdigest() == shard.sha256:
                os.replace(part, self._folder / shard.name)
        except (StorageUnavailable, OSError):
            return  # a cache may miss: whoever needs the bytes asks the store, and hears of the outage there
        finally:
            part.unlink(missing_ok=True)

    def _reserve(self, part: Path, shard: Shard) -> bool:
        """Take the room for a shard before its bytes come; False when it is full or another process copies it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            taken = 0
            for path in self._root.rglob("*.tar*"):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    if path.suffix == ".part" and time.time() - status.st_mtime > ABANDONED_S:
                        path.unlink()
                    else:
                        taken += status.st_size
            if taken + shard.size > self._limit or part.exists() or (self._folder / shard.name).exists():
                return False
            with open(part, "wb") as file:
                file.truncate(shard.size)  # counts at once, takes disk as it fills
            return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._root / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
