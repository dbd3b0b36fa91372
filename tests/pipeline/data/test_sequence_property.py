"""For any shards, streams, worlds, workers and stops: one sequence of global batches, each sample once an epoch."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.batches import BatchSchedule, Phase, allowed_world_sizes
from pipeline.data.loader import open_scheduled_stream
from pipeline.data.mixture import MixedOrder
from pipeline.data.order import SampleOrder
from pipeline.data.reader import DatasetReader
from pipeline.data.stream import SampleStream, StreamSettings

shard_tables = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)
Cell = tuple[int, int]


def rank_positions(schedule: BatchSchedule, rank: int, world: int, workers: int, streams: int, start: int, count: int):
    """The next positions of a rank as its loader delivers them: one of each worker in turn."""
    chosen = StreamSettings(seed=0, start_position=start, rank=rank, world_size=world, streams=streams, block_size=4)
    stream = SampleStream((), schedule, chosen, lambda sample, rng: {})
    parts = [list(islice(stream._positions(number, workers), -(-count // workers))) for number in range(workers)]
    return [parts[at % workers][at // workers] for at in range(count)]


@given(shard_tables, st.sampled_from([1, 2, 4, 6, 8, 64]), st.sampled_from([4, 8, 12]), st.integers(1, 12), st.data())
@settings(max_examples=150)
def test_any_path_of_worlds_and_workers_is_the_one_sequence(table, streams, batch, block, data):
    schedule = BatchSchedule((Phase(global_batch_size=batch, micro_batch_size=1),))
    orders = [SampleOrder(np.array(table), seed=3, streams=streams, block_size=block)]
    place = MixedOrder(orders, [1], seed=3).place
    total = sum(table)
    cells: list[Cell] = []
    position = 0
    while len(cells) < 2 * total + batch:
        world = data.draw(st.sampled_from(allowed_world_sizes(streams, batch)))
        workers, steps = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
        per_rank = batch // world
        ranks = [
            rank_positions(schedule, rank, world, workers, streams, position, steps * per_rank) for rank in range(world)
        ]
        for step in range(steps):
            found = sorted(p for rank in ranks for p in rank[step * per_rank : (step + 1) * per_rank])
            assert found == list(range(position, position + batch)), "a global batch is the next G positions"
            cells += [(at.shard, at.row) for _, at in map(place, found)]
            position += batch
    every = [(shard, row) for shard, count in enumerate(table) for row in range(count)]
    assert sorted(cells[:total]) == sorted(cells[total : 2 * total]) == every


def test_resuming_late_reads_no_more_than_resuming_early(dataset, monkeypatch):
    manifest = dataset(60, per_shard=7)
    fetched: list[int] = []
    fetch = DatasetReader.fetch
    monkeypatch.setattr(
        DatasetReader, "fetch", lambda reader, cells: (fetched.append(len(cells)), fetch(reader, cells))[1]
    )

    def read_until_first_batch(start: int) -> int:
        fetched.clear()
        chosen = StreamSettings(
            seed=0, start_position=start, rank=0, world_size=1, streams=4, block_size=5,
            decoded_cache_bytes=0, blocks_ahead=1,
        )  # fmt: skip
        stream = open_scheduled_stream(
            manifest,
            make_sample=lambda sample, rng: {"lq": torch.zeros(1, 1, 1), "gt": torch.zeros(1, 1, 1)},
            schedule=BatchSchedule((Phase(global_batch_size=4, micro_batch_size=4),)),
            settings=chosen,
            loader_workers=0,
        )
        assert next(iter(stream)).positions == list(range(start, start + 4))
        return sum(fetched)

    # A block of five for each of the four streams, and those read ahead of need.
    for start in (8, 10_000_000, 10_000_012):
        assert read_until_first_batch(start) <= 4 * 5 + 2 * 5
