"""The driver is told to stop, by SIGTERM or by the clock: a flag first, so that the workers can save, then the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPED = 128 + signal.SIGTERM  # the exit status, as a shell would say it
GRACE_S = 45.0  # for a step and its checkpoint; a run that needs longer continues from the checkpoint before
BEFORE_LIMIT_S = 60.0  # so long before a time limit the workers are told


class Stop(threading.Event):
    """Set when the process is to stop; ``why`` says by what."""

    why = ""


@contextmanager
def told_to_stop(time_limit_s: float | None = None) -> Iterator[Stop]:
    """An event that SIGTERM sets inside the block; the process ends ``GRACE_S`` later at the latest.

    So it does by itself ``BEFORE_LIMIT_S`` before ``time_limit_s`` seconds are over: whoever set the limit kills then.

    On another thread than the main one, which alone can have a handler, it is never set.
    """
    told = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    cut_off = threading.Timer(GRACE_S, os._exit, args=[STOPPED])
    cut_off.daemon = True

    def tell(why: str) -> None:
        if not told.is_set():
            told.why = why
            told.set()
            cut_off.start()

    limit = threading.Timer(max(0.0, (time_limit_s or 0.0) - BEFORE_LIMIT_S), tell, args=["the time limit"])
    limit.daemon = True
    if time_limit_s is not None:
        limit.start()
    before = signal.signal(signal.SIGTERM, lambda *_: tell("SIGTERM"))
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)
        cut_off.cancel()
        limit.cancel()
