"""Whole images, each once: what validation and tables read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.data.faults import FaultPolicy
from pipeline.data.images import to_float
from pipeline.data.manifest import Manifest, load_manifest, open_manifest
from pipeline.data.reader import DatasetReader
from pipeline.degradations.image import Image


def iter_whole_images(
    dataset: Manifest | str, rank: int = 0, world_size: int = 1, deadline_s: float | None = None
) -> Iterator[tuple[int, str, Image, Image | None]]:
    """(index, key, clean, degraded or None) of every image, in stored order; rank r takes indices ≡ r (mod world).

    Images are float32 (H, W, C) in [0, 1]. Damage raises: a table over fewer images is another table.
    An outage of S3 is waited out for ``deadline_s`` seconds; None takes the storage's default.

    Raises:
        UserError: no dataset at the address.
        DamagedSample: an image is not what the manifest says.
    """
    manifest = open_manifest(dataset)
    reader = _strict_reader(manifest, deadline_s)
    cells = ((shard, row) for shard, entry in enumerate(manifest.shards) for row in range(entry.samples))
    for index, cell in enumerate(cells):
        if index % world_size == rank:
            yield index, *_read(reader, cell)


def read_image(uri: str, index: int, deadline_s: float | None = None) -> tuple[str, Image, Image | None]:
    """(key, clean, degraded or None) of the ``index``-th image in stored order, so that any worker can take any image.

    Images, ``deadline_s`` and what is raised as in ``iter_whole_images``.
    """
    reader, starts = _opened(uri, deadline_s)
    shard = int(np.searchsorted(starts, index, side="right")) - 1
    return _read(reader, (shard, index - int(starts[shard])))


def _read(reader: DatasetReader, cell: tuple[int, int]) -> tuple[str, Image, Image | None]:
    pair = reader.decode(cell, reader.fetch([cell])[cell])
    return pair.key, to_float(pair.clean), None if pair.degraded is None else to_float(pair.degraded)


def _strict_reader(manifest: Manifest, deadline_s: float | None) -> DatasetReader:
    return DatasetReader(manifest, FaultPolicy(on_damage="raise"), deadline_s)


@lru_cache(maxsize=4)
def _opened(uri: str, deadline_s: float | None) -> tuple[DatasetReader, NDArray[np.int64]]:
    manifest = load_manifest(uri)
    counts = manifest.samples_per_shard
    return _strict_reader(manifest, deadline_s), np.cumsum(counts) - counts
