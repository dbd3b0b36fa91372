"""Independent pieces of work on a CPU, one thread each, instead of all threads inside every small operator."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Every piece at once needs its own memory: on a machine of many cores the rest of the threads go inside the pieces.
_MOST_AT_ONCE = 8

_log = logging.getLogger("semanir")


def threads_for(device: torch.device, pieces: int) -> int:
    """How many pieces to compute at once: PyTorch's number of threads on a CPU, at most eight; one elsewhere.

    Autocast is a thread's own setting, which new threads would not have: one there too.
    """
    if device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return 1
    return max(1, min(torch.get_num_threads(), pieces, _MOST_AT_ONCE))


def each_in_order(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """``work(item)`` of every item, in order; at most two results a thread are held.

    While it runs, PyTorch's threads are shared out among the pieces, in the whole process; the number is set back at
    the end. What ``work`` raises is raised here, and the items that were not begun are left.
    """
    if threads == 1:
        yield from map(work, items)
        return
    before = torch.get_num_threads()
    own = before // threads
    _log.info("%d tiles, %d at once, each on %d of %d threads", len(items), threads, own, before)
    # The number is kept per thread as well as for the process: each new thread sets its own.
    with ThreadPoolExecutor(
        threads, "semanir", initializer=torch.set_num_threads, initargs=(before // threads,)
    ) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(before)
