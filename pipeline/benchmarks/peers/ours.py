"""Our own stream, as training opens it; run by ``consumer``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.benchmarks.peers.consumer import Job, Opened, digest, main
from pipeline.data.batches import BatchSchedule, Phase
from pipeline.data.loader import open_scheduled_stream
from pipeline.data.manifest import load_manifest
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import Source, folder_sources
from pipeline.data.stream import DecodedSample, StreamSettings

BLOCK = 8
STREAMS = 12  # a multiple of all loader processes of one, two and three consumers: else blocks are read twice


def write(pictures: Path, folder: Path, per_shard: int, variant: str) -> None:
    """Pack the pictures; ``doubled`` hands the packer two pictures of one key."""
    sources: list[Source] = folder_sources(str(pictures))
    if variant == "doubled":
        sources.insert(1, Source(sources[0].key, sources[1].clean))
    sizes = [len(source.clean.read()) for source in sources]
    # A shard is closed once it is so long: a tar span is the picture's bytes and about two blocks more.
    shard_bytes = max(1, int((sum(sizes) / len(sizes) + 1024) * per_shard))
    pack_dataset(sources, str(folder), PackSettings(codec="original", shard_bytes=shard_bytes))


def read(job: Job) -> Opened:
    manifest = load_manifest(job.uri)
    steps = manifest.num_samples // (job.batch * job.world)
    phase = Phase(global_batch_size=job.batch * job.world, micro_batch_size=job.batch, steps=steps)
    start = job.saved_state() if job.resume else 0
    stream = open_scheduled_stream(
        manifest,
        make_sample=_digest_sample,
        schedule=BatchSchedule((phase,)),
        settings=StreamSettings(
            seed=job.seed, start_position=start, rank=job.rank, world_size=job.world, streams=STREAMS, block_size=BLOCK,
            decoded_cache_bytes=0,  # as large data sets are read, though this one is small
        ),
        loader_workers=job.workers,
    )  # fmt: skip
    position = [start]

    def batches() -> Any:
        for batch in stream:
            position[0] = batch.next_position
            yield batch.keys, [bytes(row.to(torch.uint8).flatten().tolist()).hex() for row in batch.gt]

    return Opened(batches(), lambda: position[0])


def _digest_sample(sample: DecodedSample, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """The digest's 32 bytes take the pixels' place: a loader hands on tensors."""
    content = bytes.fromhex(digest(np.ascontiguousarray(sample.clean)))
    return {"lq": torch.zeros(1, 1, 1), "gt": torch.tensor(list(content), dtype=torch.float32).reshape(32, 1, 1)}


if __name__ == "__main__":
    main(write, read)
