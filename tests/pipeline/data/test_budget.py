from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.data.budget import blocks_held, check_buffer
from pipeline.data.stream import StreamSettings
from pipeline.errors import UserError

SETTINGS = StreamSettings(
    seed=0,
    start_position=0,
    rank=0,
    world_size=4,
    streams=64,
    block_size=8,
    decoded_cache_bytes=0,
    blocks_ahead=2,
)


@pytest.mark.parametrize(("workers", "blocks"), [(0, 18), (1, 18), (4, 24), (3, 54), (32, 96)])
def test_blocks_are_shared_out_or_held_by_every_worker(workers, blocks):
    # 16 streams a rank: a number of workers that divides them splits them, another leaves all to each.
    assert blocks_held(SETTINGS, 1, workers) == blocks


def test_a_stream_that_would_not_fit_is_refused_with_what_does(dataset):
    datasets = ((dataset(8), 1),)
    mean = sum(shard.size for shard in datasets[0][0].shards) / 8
    settings = replace(SETTINGS, buffer_bytes=int(18 * 5.5 * mean))
    with pytest.raises(UserError, match=r"18 blocks of 8 samples .* use block_size 5 or less"):
        check_buffer(datasets, settings, 0)
    check_buffer(datasets, replace(settings, block_size=5), 0)
    check_buffer(datasets, replace(settings, decoded_cache_bytes=2**20), 0)
    with pytest.raises(UserError, match="use fewer streams or loader workers"):
        check_buffer(datasets, replace(settings, buffer_bytes=10), 0)
