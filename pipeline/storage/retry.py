"""Try again with exponential backoff and full jitter, inside a deadline."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.storage.base import StorageUnavailable

T = TypeVar("T")
DEADLINE_S = 120.0  # that S3 or MLflow may be away where nobody says how long
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class RetryCount:
    """How many calls this process repeated, over all its threads."""

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()

    def add_one(self) -> None:
        with self._lock:
            self.total += 1


RETRIES = RetryCount()


def retry(
    call: Callable[[], T],
    *,
    is_transient: Callable[[Exception], bool],
    deadline_s: float,
    what: str,
    gives_up: type[Exception] = StorageUnavailable,
    remedy: str = "bring the store back, then run again to continue",
    count: RetryCount = RETRIES,
    many_requests: bool = False,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Return ``call()``; repeat it while it fails in a way that may pass, and add each repetition to ``count``.

    The pause before attempt n is uniform in (0, min(5, 0.1 · 2^n)] seconds ("full jitter", from AWS's
    "Exponential Backoff And Jitter"), so that many ranks do not return in step after an outage.

    ``many_requests``: a call makes many, and may have been well for longer than the deadline when one of them fails;
    so the deadline counts from the first failure.

    Raises:
        StorageUnavailable: still failing after ``deadline_s`` seconds; the last failure is its cause. Or what
            ``gives_up`` says, with ``remedy`` as the last word.
        Exception: whatever ``call`` raised, when it is not transient.
    """
    started = clock()
    attempts = 0
    while True:
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            attempts += 1
            if many_requests and attempts == 1:
                started = clock()
            waited = clock() - started
            if waited >= deadline_s:
                raise gives_up(
                    f"{what} still failing after {waited:.0f} s and {attempts} attempts: "
                    f"{type(error).__name__}: {error}; {remedy}"
                ) from error
            bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempts, 10))
            # Never sleep past the deadline: the last attempt happens at it.
            pause(min(random.uniform(0, bound) + 1e-3, max(deadline_s - waited, 1e-3)))
            count.add_one()
