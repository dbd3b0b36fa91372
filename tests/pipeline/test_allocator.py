"""Freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEASURE = """
import resource
import torch
from pipeline.allocator import keep_freed_memory

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(1 << 20)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / times

given_back = faults(4)
assert keep_freed_memory()
faults(32)  # the first do not fit, aligned, where one of their size was
print(given_back, faults(4))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the switch is the GNU C library's")
def test_memory_that_was_freed_is_taken_again_without_the_kernel() -> None:
    shown = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout
    given_back, kept = map(float, shown.split())
    assert kept < given_back / 100
