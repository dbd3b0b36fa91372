"""What the tests of spikes do to a run: batches that are spoiled, and a kill while it goes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.data.loader import Batch
from pipeline.training import loop
from pipeline.training.context import PlainContext
from pipeline.training.proof import Saving
from pipeline.training.shelf import Shelf


class DyingContext(PlainContext):
    """Killed when the run goes back: ``before`` the earlier checkpoint was looked for, or ``after`` it was read."""

    def __init__(self, context: PlainContext, moment: str) -> None:
        super().__init__(context.storage, context.rank, context.world_size)
        self.moment = moment

    @contextmanager
    def latest_checkpoint(self, at_most: int | None = None) -> Iterator[Path | None]:
        if at_most is not None and self.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        with super().latest_checkpoint(at_most) as folder:
            yield folder
        if at_most is not None:
            os.kill(os.getpid(), signal.SIGKILL)


class KeepingContext(PlainContext):
    """Keeps ``number`` checkpoints and one from ``steps_back`` steps before, as a run under Ray does."""

    def __init__(self, context: PlainContext, number: int, steps_back: int) -> None:
        super().__init__(context.storage, context.rank, context.world_size)
        self._keep = number, steps_back

    def save(self, saving: Saving, metrics: Mapping[str, float], folder: Path) -> None:
        super().save(saving, metrics, folder)
        Shelf(str(self.storage)).keep_newest(*self._keep)


def poison_batches(steps: list[int]) -> None:
    """Let the truth of the batches of these steps (from 0) be noise, in whichever world and after any resume."""
    plain = loop.take_step

    def take_step(micro_batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in plain(micro_batches):
            if batch.positions[0] // 4 in steps:  # the tests' global batch
                noise = torch.rand(batch.gt.shape, generator=torch.Generator().manual_seed(batch.positions[0]))
                batch = replace(batch, gt=noise)
            yield batch

    loop.take_step = take_step
