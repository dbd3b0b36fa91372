"""Peak memory that a piece of work needs beyond what was allocated before it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_extra_bytes(work: Callable[[], object], device: str) -> int:
    """Highest sum of live allocations during ``work()``, less those before it.

    GPU: the caching allocator's own peak. CPU: replayed from the profiler's allocation events, so only memory of
    torch's allocator counts (libraries' scratch buffers do not).
    """
    return _peak_on_gpu(work) if device.startswith("cuda") else _peak_on_cpu(work)


def _peak_on_gpu(work: Callable[[], object]) -> int:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_on_cpu(work: Callable[[], object]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    results = profiler.profiler.kineto_results
    changes = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]"]
    live = peak = 0
    for _, change in sorted(changes, key=lambda event: event[0]):
        live += change
        peak = max(peak, live)
    return peak
