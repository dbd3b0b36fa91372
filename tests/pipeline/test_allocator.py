"""Freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEASURE = """
import resource, sys, threading
import torch
from pipeline.allocator import keep_freed_memory

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        [torch.ones(1 << 20) for _ in range(24)]  # 96 MiB at once, as a tile has
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / times

def measure():
    faults(32)  # the first do not fit, aligned, where one of their size was
    print(given_back, faults(4))

given_back = faults(4)
assert keep_freed_memory(one_pool=sys.argv[1] == "thread")
if sys.argv[1] == "thread":
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
else:
    measure()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the switch is the GNU C library's")
@pytest.mark.parametrize("where", ["thread", pytest.param("process", marks=pytest.mark.slow)])
def test_memory_that_was_freed_is_taken_again_without_the_kernel(where: str) -> None:
    shown = subprocess.run([sys.executable, "-c", MEASURE, where], capture_output=True, text=True, check=True).stdout
    given_back, kept = map(float, shown.split())
    assert kept < given_back / 100
