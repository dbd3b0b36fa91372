"""The end of a service: who is inside is answered, within the time that one request may take at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pipeline.serving.service.settings import BODY_SECONDS, Limits

SENDING_S = 30.0  # for an answer to reach its client
LOOK_EVERY_S = 0.2
LAST_S = 1.0  # for what the HTTP server itself still holds of an answer, some 16 KiB


def longest(limits: Limits) -> float:
    """Seconds that a request may be inside: arriving, waiting and at work, and being answered."""
    return BODY_SECONDS + limits.seconds + SENDING_S


def finish(shut: Callable[[], int], most_s: float, hurry: threading.Event, say: Callable[[str], None]) -> None:
    """Let no request in, and wait until nobody is inside, for ``most_s`` seconds at most and no longer than ``hurry``.

    shut: lets nobody in, and returns how many are inside.
    """
    say(f"stopping: requests at work are finished first, in {most_s:g} s at most; a second signal stops at once")
    deadline = time.monotonic() + most_s
    while inside := shut():
        if time.monotonic() >= deadline or hurry.wait(LOOK_EVERY_S):
            why = "a second signal came" if hurry.is_set() else f"they took longer than {most_s:g} s"
            say(f"stopping now: {inside} requests are cut off, since {why}")
            return
    hurry.wait(LAST_S)
