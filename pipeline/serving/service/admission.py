"""How many requests of a model are inside, so that one more is told at once to come again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.serving.service.refusal import busy

REMEMBERED = 0.1  # share of the newest request in the mean


class Admission:
    """Counts; for one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.inside = 0
        self._seconds_each = 1.0

    def check(self) -> None:
        """Raises RefusedError (429, with Retry-After) when it is full: before anybody sends a picture for nothing."""
        if self.inside >= self._most:
            raise busy(self.inside, self._seconds_each)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside while the block runs. Raises RefusedError as ``check``."""
        self.check()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def took(self, seconds: float) -> None:
        """One request's seconds of work: what Retry-After is reckoned from."""
        self._seconds_each += REMEMBERED * (seconds - self._seconds_each)
