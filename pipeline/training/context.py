"""What a worker may ask of the world around it: so one loop runs under Ray and in a plain test alike."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from pipeline.errors import UserError
from pipeline.storage.lease import Pass
from pipeline.training.proof import Saving
from pipeline.training.resume import newest_checkpoint
from pipeline.training.send import send
from pipeline.training.shelf import Shelf


class StopRun(UserError):
    """Every rank gives up at the same step for the same reason: starting the workers again would not help."""


class DamagedData(UserError):
    """One rank met damage that the configuration does not let pass; no new worker would find the data sound."""


class Interrupted(UserError):
    """Every rank leaves after the same step, because one was asked to; all is saved, and the run continues from it."""


@dataclass(frozen=True)
class Figures:
    """Figures of one step on their way to the run's record.

    ``time_ms``: when they were taken, since 1970. ``again``: they may have arrived before, and are for the record only.
    """

    step: int
    metrics: dict[str, float]
    time_ms: int
    again: bool = False


@dataclass(frozen=True)
class Said:
    """A line on its way from a worker to the person who waits for the run."""

    line: str


@dataclass(frozen=True)
class SentFile:
    """A small file on its way from a worker to the run's record."""

    name: str
    content: bytes


class WorkerContext(Protocol):
    """One worker's place in the run, and its five lines to the outside."""

    @property
    def rank(self) -> int: ...

    @property
    def world_size(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def log(self, figures: Figures) -> None:
        """Send figures on their way without waiting; only rank 0 calls it."""

    def file(self, name: str, content: bytes) -> None:
        """Send a small file on its way to the run's record without waiting; only rank 0 calls it."""

    def say(self, line: str) -> None:
        """Send one line on its way to the person who waits for the run, without waiting; only rank 0 calls it."""

    def save(self, saving: Saving, metrics: Mapping[str, float], folder: Path) -> None:
        """Persist this rank's part of a checkpoint; every rank calls it, each with a folder of its own.

        The folder is given away: it is removed once its files are safe, perhaps after this call returned. The list that
        proves them (pipeline.training.proof) is the last to arrive.
        """

    def behind(self) -> bool:
        """Whether earlier checkpoints of this rank are still on their way, so that one more would wait; never waits."""

    def latest_checkpoint(self, at_most: int | None = None) -> AbstractContextManager[Path | None]:
        """A local folder with all files of the newest whole checkpoint, proven, or None: there is none. Collective.

        ``at_most``: of so many steps at most; newer ones are then removed, for the run goes back.
        """

    def asked_to_leave(self) -> bool:
        """Whether this worker's machine, or the run, is about to be taken away; never waits."""


class PlainContext:
    """A context without Ray: checkpoints lie under ``storage``, a folder or S3 prefix, figures are a list.

    A process group, where world_size > 1, is the caller's to start.
    """

    def __init__(
        self, storage: Path | str, rank: int = 0, world_size: int = 1, device: str = "cpu", lease: Pass | None = None
    ) -> None:
        self.storage, self.rank, self.world_size, self.lease = storage, rank, world_size, lease
        self.device = torch.device(device)
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.files: dict[str, bytes] = {}
        self.said: list[str] = []

    def log(self, figures: Figures) -> None:
        if not figures.again:
            self.logged.append((figures.step, figures.metrics))

    def file(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def say(self, line: str) -> None:
        self.said.append(line)

    def save(self, saving: Saving, metrics: Mapping[str, float], folder: Path) -> None:
        send(folder, saving, str(self.storage), lease=self.lease)
        shutil.rmtree(folder)
        if self.world_size > 1:
            torch.distributed.barrier()

    def behind(self) -> bool:
        return False

    def latest_checkpoint(self, at_most: int | None = None) -> AbstractContextManager[Path | None]:
        return newest_checkpoint(Shelf(str(self.storage)), self.rank, self.say, at_most)

    def asked_to_leave(self) -> bool:
        return False
