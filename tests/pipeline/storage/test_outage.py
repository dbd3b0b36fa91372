"""The S3 server dies in the middle of a stream: back in time, nothing is lost; gone too long, it is said."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from pipeline.data.batches import BatchSchedule, Phase
from pipeline.data.images import encode_image
from pipeline.data.loader import open_scheduled_stream
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.data.stream import StreamSettings
from pipeline.storage import StorageUnavailable, open_storage

COUNT = 40


@pytest.fixture
def shards(seaweed, tmp_path):
    """Forty images in shards of five on S3."""
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        (tmp_path / f"{number:02d}.png").write_bytes(encode_image(pixels))
    uri = "s3://tests/outage"
    pack_dataset(folder_sources(str(tmp_path)), uri, PackSettings(shard_bytes=5 * 1536))
    yield uri
    store = open_storage(uri)
    for entry in list(store.list()):
        store.delete(entry.key)


def stream(uri: str, start: int, deadline_s: float):
    settings = StreamSettings(
        seed=0,
        start_position=start,
        rank=0,
        world_size=1,
        streams=4,
        block_size=2,
        decoded_cache_bytes=0,
        blocks_ahead=2,
        storage_deadline_s=deadline_s,
    )
    return open_scheduled_stream(
        uri,
        make_sample=lambda sample, rng: {
            "lq": torch.tensor(rng.random((1, 1, 1))),
            "gt": torch.zeros(1, 1, 1),
        },
        schedule=BatchSchedule((Phase(steps=2 * COUNT // 4, global_batch_size=4, micro_batch_size=4),)),
        settings=settings,
        loader_workers=0,
    )


def seen(batches) -> list[tuple[list[str], list[float]]]:
    return [(batch.keys, batch.lq.flatten().tolist()) for batch in batches]


def test_an_outage_shorter_than_the_deadline_changes_nothing(seaweed, shards):
    reference = seen(stream(shards, 0, deadline_s=60))
    assert len(reference) == 20
    batches = iter(stream(shards, 0, deadline_s=60))
    found = seen([next(batches), next(batches)])
    seaweed.stop()
    restart = threading.Timer(1.5, seaweed.start)
    restart.start()
    try:
        found += seen(batches)
    finally:
        restart.join()
    assert found == reference


def test_an_outage_longer_than_the_deadline_is_said_and_resumed_from(seaweed, shards):
    reference = seen(stream(shards, 0, deadline_s=60))
    done, position = [], 0

    def train() -> None:
        nonlocal position
        for batch in stream(shards, 0, deadline_s=0.5):
            done.extend(seen([batch]))
            position = batch.next_position
            if len(done) == 2:
                seaweed.stop()

    try:
        with pytest.raises(StorageUnavailable, match=r"s3://tests/outage/.* bring the store back"):
            train()
    finally:
        seaweed.start()
    assert 2 <= len(done) < len(reference)
    assert done + seen(stream(shards, position, deadline_s=60)) == reference
