"""How many bytes of shards a run reads, before it has read any."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.data.decoded import is_kept_decoded
from pipeline.data.manifest import Manifest

EXACT_SHARDS = 64  # a row group of the manifest is read for each


def training_bytes(
    datasets: Sequence[tuple[Manifest, int]], images: int, *, world_size: int, loader_workers: int, decoded_limit: int
) -> int:
    """Of all workers together for ``images`` images of weighted ``datasets``, from the mean sample of each.

    What is kept decoded each process reads once: after e epochs, of which each deals it a share s of the images anew,
    it has met 1 - (1 - s)^e of them.
    """
    weights = sum(weight for _, weight in datasets)
    kept = is_kept_decoded(datasets, decoded_limit)
    processes = world_size * max(1, loader_workers)
    total = 0.0
    for manifest, weight in datasets:
        taken, size = images * weight / weights, sample_bytes(manifest)
        epochs = taken / manifest.num_samples
        if kept:
            whole, rest = divmod(epochs, 1)
            missed = (1 - 1 / processes) ** whole * (1 - rest / processes)
            total += processes * (1 - missed) * size
        else:
            total += epochs * size
    return round(total)


def validation_bytes(manifest: Manifest, times: int) -> int:
    """Of all workers together: every image once, ``times`` times."""
    return times * sample_bytes(manifest)


def sample_bytes(manifest: Manifest) -> int:
    """Of all samples once. A tar ends with up to 10 KiB of padding, which is not read: it counts in small sets only."""
    if len(manifest.shards) > EXACT_SHARDS:
        return sum(shard.size for shard in manifest.shards)
    return sum(row.length for shard in range(len(manifest.shards)) for row in manifest.rows(shard))
