"""How much memory a rank's stream takes, known before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.data.decoded import is_kept_decoded
from pipeline.data.manifest import Manifest
from pipeline.data.stream import StreamSettings
from pipeline.errors import UserError

Datasets = Sequence[tuple[Manifest, int]]


def blocks_held(settings: StreamSettings, datasets: int, loader_workers: int) -> int:
    """How many blocks one rank holds at most: each worker's streams once per dataset, and those read ahead.

    A worker serves all the rank's C / W streams unless its number shares a divisor with them.
    """
    workers = max(1, loader_workers)
    streams = settings.streams // settings.world_size
    served = streams // math.gcd(streams, workers)
    return workers * (served * datasets + settings.blocks_ahead)


def block_bytes(datasets: Datasets, settings: StreamSettings, loader_workers: int) -> int:
    """What the blocks of one rank take in memory at most, encoded.

    A block's bytes are estimated from its dataset's mean sample; the dataset with the largest mean decides.
    """
    blocks = blocks_held(settings, len(datasets), loader_workers)
    return math.ceil(blocks * settings.block_size * _largest_mean(datasets))


def _largest_mean(datasets: Datasets) -> float:
    return max(sum(shard.size for shard in manifest.shards) / manifest.num_samples for manifest, _ in datasets)


def check_buffer(datasets: Datasets, settings: StreamSettings, loader_workers: int) -> None:
    """Refuse a stream whose blocks would not fit into ``buffer_bytes``.

    Raises:
        UserError: says what they need, and the largest block size that fits.
    """
    if is_kept_decoded(datasets, settings.decoded_cache_bytes):
        return
    sample, blocks = _largest_mean(datasets), blocks_held(settings, len(datasets), loader_workers)
    needed = block_bytes(datasets, settings, loader_workers)
    if needed > settings.buffer_bytes:
        fitting = int(settings.buffer_bytes / (blocks * sample))
        remedy = f"use block_size {fitting} or less" if fitting else "use fewer streams or loader workers"
        raise UserError(
            f"{blocks} blocks of {settings.block_size} samples of {sample / 2**20:.2f} MiB would take"
            f" {needed / 2**30:.1f} GiB on each rank, more than"
            f" {settings.buffer_bytes / 2**30:.1f} GiB;"
            f" {remedy}"
        )
