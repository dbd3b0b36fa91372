"""What a worker says of itself: one line when it starts, resumes, meets a fault or leaves, with its rank and step."""

from __future__ import annotations

import logging
import sys

from pipeline.errors import first_line
from pipeline.training.context import Interrupted, WorkerContext

logger = logging.getLogger("semanir.worker")


def show_lines() -> None:
    """Let the lines reach this process's standard error, which Ray keeps as the worker's log file."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


class WorkerLog:
    """The lines of one worker.

    Attributes:
        step: the last step that is done, set by the loop as it moves on. Kept here and not given to each line, because
            the last one, :meth:`ends`, is written where an exception has left the loop and its step behind.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context, self.step = context, 0

    def says(self, what: str, level: int = logging.INFO) -> None:
        """One line: ``rank 1 of 4, step 120: what``."""
        logger.log(level, "rank %d of %d, step %d: %s", self._context.rank, self._context.world_size, self.step, what)

    def ends(self, error: BaseException) -> None:
        """The line for leaving early: because it was asked to, or by a fault."""
        if isinstance(error, Interrupted):
            self.says(f"leaves: {first_line(error)}")
        else:
            self.says(f"fault: {type(error).__name__}: {first_line(error)}", logging.ERROR)
