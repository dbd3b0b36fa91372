"""What rank 0 tells of its steps: a checkpoint carries the last of it, so that no end of the driver loses a figure."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.training.checkpoint import of_this_version
from pipeline.training.context import Figures, WorkerContext

FILE = "figures.json"
FILE_BYTES = 1 << 19  # filled up with spaces: a checkpoint's size is known before (pipeline.training.checkpoint_size)
KEPT = 500  # figures wait in the driver for some seconds, or as long as MLflow is away


class FigureLog:
    """Figures on their way to the run's record, of rank 0 alone.

    A driver that is killed takes those with it that MLflow has not heard of yet, also of steps that a checkpoint holds
    and nobody trains again. So a checkpoint holds the last ``KEPT`` of them, and they are told again by whoever goes on
    from it, as of the same moment: MLflow keeps one of two that are equal.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._told: deque[Figures] = deque(maxlen=KEPT)

    def tell(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send figures of ``step`` on their way, without waiting."""
        if self._context.rank == 0:
            values = {name: float(value) for name, value in metrics.items()}
            self._told.append(Figures(step, values, time_ms=int(time.time() * 1000)))
            self._context.log(self._told[-1])

    def save(self, folder: Path) -> None:
        """Leave the last of what was told in a checkpoint's ``folder``."""
        if self._context.rank == 0:
            told = json.dumps([_values(figures) for figures in self._told])
            (folder / FILE).write_text(told.ljust(FILE_BYTES), encoding="utf-8")

    def tell_again(self, folder: Path) -> None:
        """Tell what the checkpoint in ``folder`` holds; one of an earlier version of the program holds none.

        Raises StopRun when it holds something else than figures.
        """
        if self._context.rank == 0 and (folder / FILE).exists():
            with of_this_version(FILE):
                told = [_figures(**values) for values in json.loads((folder / FILE).read_text(encoding="utf-8"))]
            self._told.extend(told)
            for figures in self._told:
                self._context.log(replace(figures, again=True))


def _values(figures: Figures) -> dict[str, Any]:
    return {"step": figures.step, "metrics": figures.metrics, "time_ms": figures.time_ms}


def _figures(step: int, metrics: dict[str, float], time_ms: int) -> Figures:
    return Figures(int(step), {str(name): float(value) for name, value in metrics.items()}, int(time_ms))
