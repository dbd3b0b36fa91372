"""What the sample order costs a rank: 100 million samples, 1,024 ranks, C = 1,024, only the shard table known."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

from pipeline.benchmarks.promises import Promise
from pipeline.data.order import SampleOrder

SAMPLES, WORLD, STREAMS, BLOCK = 100_000_000, 1_024, 1_024, 64


def order_promises(samples_per_shard: int = 1_000) -> list[Promise]:
    """The time to open the order in the middle of epoch 3 and take an epoch's positions of one rank, and its memory.

    The memory is what Python and NumPy allocate (tracemalloc), measured in a run of its own: tracing slows.
    """
    table = np.full(SAMPLES // samples_per_shard, samples_per_shard)
    started = time.perf_counter()
    order = _open(table)
    opened = time.perf_counter() - started
    started = time.perf_counter()
    count = 2_000
    for step in range(count):
        order.place(_start() + step * WORLD)
    per_place = (time.perf_counter() - started) / count
    tracemalloc.start()
    traced = _open(table)
    for step in range(200):
        traced.place(_start() + step * WORLD)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [
        Promise("order of 10⁸ samples, 1,024 ranks, C 1,024: to the first sample, s", opened, at_most=2.0),
        Promise("… memory of a rank, MiB", peak / 2**20, at_most=500.0),
        Promise("… each further sample, ms", 1e3 * per_place, at_most=0.2),
    ]


def _start() -> int:
    return 3 * SAMPLES + SAMPLES // 2 // WORLD * WORLD + 17


def _open(table: np.ndarray) -> SampleOrder:
    order = SampleOrder(table, 0, STREAMS, BLOCK)
    order.place(_start())
    return order
