"""One image of a packed set by its number, so that any worker can take any image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.data.faults import FaultPolicy
from pipeline.data.images import to_float
from pipeline.data.manifest import load_manifest
from pipeline.data.reader import DatasetReader

Image = NDArray[np.float32]


def read_image(uri: str, index: int) -> tuple[str, Image, Image | None]:
    """(key, clean, degraded or None) of the ``index``-th image in stored order, float32 (H, W, C) in [0, 1].

    Raises:
        UserError: no set at the address.
        DamagedSample: the image is not what the manifest says; a table over fewer images would be another table.
    """
    reader, starts = _open(uri)
    shard = int(np.searchsorted(starts, index, side="right")) - 1
    cell = (shard, index - int(starts[shard]))
    pair = reader.decode(cell, reader.fetch([cell])[cell])
    return pair.key, to_float(pair.clean), None if pair.degraded is None else to_float(pair.degraded)


@lru_cache(maxsize=4)
def _open(uri: str) -> tuple[DatasetReader, NDArray[np.int64]]:
    manifest = load_manifest(uri)
    counts = manifest.samples_per_shard
    return DatasetReader(manifest, FaultPolicy(on_damage="raise")), np.cumsum(counts) - counts
