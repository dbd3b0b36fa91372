"""Shards on local disk: the same bytes, within the bound, and never a second opinion on damage."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.faults import DamagedSample
from pipeline.data.reader import DatasetReader
from pipeline.data.shard_cache import CacheSettings, ShardCache
from pipeline.storage import StorageUnavailable, open_storage


class CountingStorage:
    """The real store, counting the reads that reach it."""

    def __init__(self, uri: str) -> None:
        self.inner, self.reads, self.silent = open_storage(uri), 0, False

    def read_range(self, key: str, start: int, length: int) -> bytes:
        self.reads += 1
        if self.silent:
            raise StorageUnavailable("gone")
        return self.inner.read_range(key, start, length)


@pytest.fixture
def manifest(dataset):
    return dataset(12, per_shard=3)


def cache_of(manifest, folder: Path, limit: int = 2**30) -> tuple[ShardCache, CountingStorage]:
    storage = CountingStorage(manifest.uri)
    return ShardCache(storage, manifest, CacheSettings(str(folder), limit)), storage


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tar*"))


def test_a_shard_is_copied_once_and_then_read_locally(manifest, tmp_path):
    cache, storage = cache_of(manifest, tmp_path / "cache")
    shard = manifest.shards[1]
    expected = open_storage(manifest.uri).read_range(shard.name, 100, 50)
    assert cache.read_range(shard.name, 100, 50) == expected
    cache.wait()
    reads = storage.reads
    assert cache.read_range(shard.name, 100, 50) == expected
    assert storage.reads == reads
    again, other = cache_of(manifest, tmp_path / "cache")
    assert again.read_range(shard.name, 100, 50) == expected
    assert other.reads == 0


def test_the_bound_holds_and_the_rest_is_read_from_the_store(manifest, tmp_path):
    limit = manifest.shards[0].size + manifest.shards[1].size
    cache, storage = cache_of(manifest, tmp_path / "cache", limit)
    for shard in manifest.shards:
        assert len(cache.read_range(shard.name, 0, shard.size)) == shard.size
        cache.wait()
    assert sum(path.stat().st_size for path in files(tmp_path / "cache")) <= limit
    assert len(files(tmp_path / "cache")) == 2
    reads = storage.reads
    cache.read_range(manifest.shards[3].name, 0, 10)
    assert storage.reads == reads + 1


def test_a_copy_with_other_bytes_is_not_kept(manifest, tmp_path):
    shard = manifest.shards[0]
    path = Path(manifest.uri) / shard.name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    cache, _ = cache_of(manifest, tmp_path / "cache")
    cache.read_range(shard.name, 0, 10)
    cache.wait()
    assert files(tmp_path / "cache") == []


def test_an_outage_while_copying_leaves_nothing(manifest, tmp_path):
    cache, storage = cache_of(manifest, tmp_path / "cache")
    storage.silent = True
    with pytest.raises(StorageUnavailable):
        cache.read_range(manifest.shards[0].name, 0, 10)
    cache.wait()
    assert files(tmp_path / "cache") == []


def test_what_a_dead_process_left_gives_its_room_back(manifest, tmp_path):
    shard = manifest.shards[0]
    cache, _ = cache_of(manifest, tmp_path / "cache", shard.size)
    left = tmp_path / "cache" / manifest.digest[:16] / "shard-000002.tar.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * shard.size)
    long_ago = time.time() - 601  # ten minutes without growing
    os.utime(left, (long_ago, long_ago))
    cache.read_range(shard.name, 0, 10)
    cache.wait()
    assert [path.name for path in files(tmp_path / "cache")] == [shard.name]


def test_a_damaged_copy_is_dropped_and_the_store_asked(manifest, tmp_path):
    settings = CacheSettings(str(tmp_path / "cache"), 2**30)
    reader = DatasetReader(manifest, cache=settings)
    cells = [(0, row) for row in range(3)]
    expected = reader.fetch(cells)
    reader._cache.wait()
    (copy,) = files(tmp_path / "cache")
    copy.write_bytes(np.random.default_rng(0).bytes(copy.stat().st_size))
    assert reader.fetch(cells) == expected
    (Path(manifest.uri) / manifest.shards[0].name).write_bytes(b"")
    assert all(isinstance(span, DamagedSample) for span in reader.fetch(cells).values())
    reader.close()
