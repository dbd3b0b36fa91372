"""When a checkpoint is due by the clock, beside those that are due by their step."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.training.context import WorkerContext


class Cadence:
    """Rank 0's clock decides for all ranks: its answer travels with what they sum in each step.

    Args:
        every_s: seconds from one checkpoint to the next; None: steps alone decide.
        context: whose rank it is.
    """

    def __init__(
        self, every_s: float | None, context: WorkerContext, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._every_s = every_s if context.rank == 0 else None
        self._now, self._last = now, now()

    def is_due(self) -> bool:
        """Whether this rank asks for a checkpoint after the step that begins."""
        return self._every_s is not None and self._now() - self._last >= self._every_s

    def saved(self) -> None:
        """A checkpoint was written, for whatever reason."""
        self._last = self._now()
