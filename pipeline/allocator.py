"""The C library's memory allocator, told to keep what is freed for the next step, tile or picture."""

from __future__ import annotations

import ctypes
import sys

# malloc.h of the GNU C library, mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT_BYTES, LARGEST_BYTES = 2**31 - 1, 2**30
TILE_BYTES = 2**26  # the largest tensors of a tile of 256 pixels; whole large images are larger, and are given back


def keep_freed_memory(largest: int = LARGEST_BYTES, *, one_pool: bool = False) -> bool:
    """Let this process reuse memory where it would give it back and ask again: the kernel clears each new page.

    By default a step of a small model on a CPU takes and returns 60 MiB, 15,000 page faults, and restoring spends 6 to
    9 % of its time on them. one_pool: threads that restore tiles take from one pool: those of their own, which they get
    by default, grow by 64 MiB and give that back whenever a tile is done. Pieces larger than ``largest`` bytes are
    given back as before. False where the C library has no such switch; GPU memory has an allocator of its own that does
    this already.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    switches = {M_MMAP_THRESHOLD: largest, M_TRIM_THRESHOLD: KEPT_BYTES} | ({M_ARENA_MAX: 1} if one_pool else {})
    return bool(mallopt and all(mallopt(switch, value) for switch, value in switches.items()))
