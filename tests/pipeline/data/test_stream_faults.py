"""Damage met in a stream: the sequence stays, the counts reach the loop, and a stop names the sample."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.data.faults import DamagedSample, FaultPolicy, TooMuchDamage, tally_metrics
from pipeline.data.loader import open_training_stream
from pipeline.data.reader import DatasetReader
from pipeline.storage.retry import RETRIES


def keys_of_an_epoch(manifest, policy: FaultPolicy, workers: int = 0, epochs: int = 1):
    stream = open_training_stream(
        manifest,
        make_sample=lambda sample, rng: {
            "lq": torch.zeros(1, 1, 1),
            "gt": torch.tensor(rng.random((1, 1, 1))),
        },
        seed=1,
        start_position=0,
        rank=0,
        world_size=1,
        global_batch_size=4,
        micro_batch_size=4,
        streams=4,
        block_size=2,
        loader_workers=workers,
        faults=policy,
    )
    keys, randoms = [], []
    for batch in stream:
        keys += batch.keys
        randoms += batch.gt.flatten().tolist()
        if len(keys) >= epochs * manifest.num_samples:
            return keys, randoms, stream.faults


@pytest.fixture
def damaged(dataset):
    """Sixteen samples in shards of four; the bytes of img006 are altered."""
    manifest = dataset(16, per_shard=4)
    row = manifest.rows(1)[2]
    path = Path(manifest.uri) / manifest.shards[1].name
    data = bytearray(path.read_bytes())
    data[row.offset + 520] ^= 1
    path.write_bytes(bytes(data))
    return manifest


@pytest.mark.parametrize("workers", [0, 2])
def test_a_skipped_sample_moves_no_other(damaged, dataset, workers):
    sound = keys_of_an_epoch(dataset(16, per_shard=4, name="sound"), FaultPolicy())
    skip = FaultPolicy(on_damage="skip", max_skipped_share=0.1)
    keys, randoms, faults = keys_of_an_epoch(damaged, skip, workers, epochs=2)
    assert keys[:16] == ["img007" if key == "img006" else key for key in sound[0]]
    assert randoms[:16] == sound[1]
    assert tally_metrics(faults.tally()) == {"damaged_samples": 1, "damaged_altered": 1, "storage_retries": 0}
    assert tally_metrics(faults.tally()) == {"damaged_samples": 1, "damaged_altered": 1, "storage_retries": 0}
    assert (faults.faults[0].shard, faults.faults[0].key) == ("shard-000001.tar", "img006")


@pytest.mark.parametrize("workers", [0, 1])
def test_raising_names_the_sample_from_any_process(damaged, workers):
    with pytest.raises(DamagedSample, match=r"altered in .*shard-000001\.tar, sample 'img006'"):
        keys_of_an_epoch(damaged, FaultPolicy(), workers)


def test_more_damage_than_allowed_stops(damaged):
    (Path(damaged.uri) / damaged.shards[3].name).unlink()
    with pytest.raises(TooMuchDamage, match="more than the share"):
        keys_of_an_epoch(damaged, FaultPolicy(on_damage="skip", max_skipped_share=0.2))


@pytest.mark.parametrize("workers", [0, 2])
def test_repeated_requests_are_counted_in_any_process(dataset, monkeypatch, workers):
    fetch = DatasetReader.fetch
    monkeypatch.setattr(DatasetReader, "fetch", lambda reader, cells: (RETRIES.add_one(), fetch(reader, cells))[1])
    _, _, faults = keys_of_an_epoch(dataset(16, per_shard=4), FaultPolicy(), workers)
    assert faults.retries > 0
    assert tally_metrics(faults.tally())["storage_retries"] == faults.retries
