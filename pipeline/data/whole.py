"""Whole images, each once: what validation and final tables read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.data.faults import FaultPolicy
from pipeline.data.images import to_float
from pipeline.data.manifest import Manifest, open_manifest
from pipeline.data.reader import DatasetReader

Image = NDArray[np.float32]


def iter_whole_images(
    dataset: Manifest | str, rank: int = 0, world_size: int = 1, deadline_s: float | None = None
) -> Iterator[tuple[int, str, Image, Image | None]]:
    """(index, key, clean, degraded or None) of every image, in stored order; rank r takes indices ≡ r
    (mod world).

    Images are float32 (H, W, C) in [0, 1]. Damage raises: a table over fewer images is another table.
    An outage of S3 is waited out for ``deadline_s`` seconds; None takes the storage's default.

    Raises:
        UserError: no dataset at the address.
        DamagedSample: an image is not what the manifest says.
    """
    manifest = open_manifest(dataset)
    reader = DatasetReader(manifest, FaultPolicy(on_damage="raise"), deadline_s)
    index = 0
    for shard, entry in enumerate(manifest.shards):
        for row in range(entry.samples):
            if index % world_size == rank:
                cell = (shard, row)
                pair = reader.decode(cell, reader.fetch([cell])[cell])
                degraded = None if pair.degraded is None else to_float(pair.degraded)
                yield index, pair.key, to_float(pair.clean), degraded
            index += 1
