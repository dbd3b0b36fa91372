"""The same stream from S3 and from disk, with loader processes that are forked after S3 was used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.data.batches import BatchSchedule, Phase
from pipeline.data.images import encode_image
from pipeline.data.loader import open_scheduled_stream
from pipeline.data.manifest import load_manifest
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.data.stream import StreamSettings
from pipeline.errors import UserError

SCHEDULE = BatchSchedule((Phase(steps=6, global_batch_size=4, micro_batch_size=4),))


def batches(uri: str, workers: int, cache: int):
    settings = StreamSettings(
        seed=3,
        start_position=4,
        rank=0,
        world_size=1,
        streams=4,
        block_size=3,
        decoded_cache_bytes=cache,
    )
    stream = open_scheduled_stream(
        uri,
        make_sample=lambda sample, rng: {
            "lq": torch.tensor(rng.random((1, 1, 1))),
            "gt": torch.tensor(sample.clean[:4, :4, :1].astype(np.float32)),
        },
        schedule=SCHEDULE,
        settings=settings,
        loader_workers=workers,
    )
    return [(batch.keys, batch.positions, batch.lq.tolist(), batch.gt.tolist()) for batch in stream]


@pytest.mark.parametrize(("workers", "cache"), [(0, 0), (2, 0), (2, 2**20)])
def test_s3_and_disk_give_the_same_batches(seaweed, tmp_path, workers, cache):
    rng = np.random.default_rng(2)
    for number in range(11):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        (tmp_path / f"{number:02d}.png").write_bytes(encode_image(pixels))
    sources = folder_sources(str(tmp_path))
    settings = PackSettings(shard_bytes=3 * 1024)
    local, remote = str(tmp_path / "packed"), f"s3://tests/stream-{workers}-{cache}"
    assert pack_dataset(sources, local, settings).digest == pack_dataset(sources, remote, settings).digest
    expected = batches(local, 0, 0)
    assert len(expected) == 5
    assert batches(remote, workers, cache) == expected


def test_a_prefix_without_shards_is_one_clear_line(seaweed):
    with pytest.raises(UserError, match=r"'s3://tests/empty' holds no manifest\.parquet"):
        load_manifest("s3://tests/empty")
