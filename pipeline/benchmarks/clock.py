"""How long things take, side by side: rounds that time every candidate once, so that a busy moment hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch


def median_milliseconds(candidates: Mapping[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median time of each candidate in milliseconds, after one warm-up call each."""
    return {name: statistics.median(times) for name, times in each_milliseconds(candidates, rounds, device).items()}


def median_ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """How many times longer, by the median over the rounds: a machine's slow minutes are in both of a round."""
    return statistics.median(time / other for time, other in zip(times, others, strict=True))


def each_milliseconds(
    candidates: Mapping[str, Callable[[], object]], rounds: int, device: str
) -> dict[str, list[float]]:
    """Time of each candidate in each round, in milliseconds, after one warm-up call each.

    On a GPU the calls are timed by events, with the queue filled ahead, so launch gaps of Python do not count
    unless they exceed 10 ms and the work itself.
    """
    for work in candidates.values():
        work()
    once = _once_on_gpu if device.startswith("cuda") else _once_on_cpu
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            times[name].append(once(work))
    return times


def _once_on_cpu(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def _once_on_gpu(work: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    torch.cuda._sleep(20_000_000)  # about 10 ms of idling, while Python enqueues the work
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)
