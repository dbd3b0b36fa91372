"""When a checkpoint follows a step: by its number, or by the clock; later, while storage is behind."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.training.context import WorkerContext


class Cadence:
    """All ranks decide alike: what each has to say travels with what they sum in every step.

    A checkpoint that is due waits while earlier ones are still on their way to storage. Otherwise fast steps on slow
    storage pile them up, and whoever is told to leave in twenty seconds has them all before the last one.

    Args:
        every_steps: from one checkpoint to the next.
        every_s: seconds from one to the next, by rank 0's clock; None: steps alone decide.
        context: whose rank it is.
    """

    def __init__(
        self, every_steps: int, every_s: float | None, context: WorkerContext, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._every_steps, self._every_s = every_steps, every_s if context.rank == 0 else None
        self._context, self._now, self._last, self._owed = context, now, now(), False

    def votes(self) -> tuple[float, float]:
        """What this rank adds to the step that begins: 1 if its clock asks for a checkpoint, 1 if storage is behind."""
        due = self._every_s is not None and self._now() - self._last >= self._every_s
        return float(due), float(self._context.behind())

    def decides(self, step: int, due: float, behind: float) -> bool:
        """Whether a checkpoint follows ``step`` (from 1). due, behind: the votes of all ranks, summed."""
        self._owed = self._owed or due > 0 or step % self._every_steps == 0
        return self._owed and not behind

    def saved(self) -> None:
        """A checkpoint was written, for whatever reason."""
        self._last, self._owed = self._now(), False
