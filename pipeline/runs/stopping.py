"""SIGTERM to the driver: a flag first, so that the workers can save, and the end if they take too long."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPED = 128 + signal.SIGTERM  # the exit status, as a shell would say it
GRACE_S = 45.0  # for a step and its checkpoint; a run that needs longer continues from the checkpoint before


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM sets inside the block; the process ends ``GRACE_S`` later at the latest.

    On another thread than the main one, which alone can have a handler, it is never set.
    """
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    cut_off = threading.Timer(GRACE_S, os._exit, args=[STOPPED])
    cut_off.daemon = True

    def tell(*_: object) -> None:
        if not told.is_set():
            told.set()
            cut_off.start()

    before = signal.signal(signal.SIGTERM, tell)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)
        cut_off.cancel()
