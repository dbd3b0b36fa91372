"""Checkpoints on their way to the run's storage under Ray Train, and how many of them stay there."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train

from pipeline.storage import arrow_filesystem
from pipeline.storage.lease import Pass
from pipeline.training.proof import Saving
from pipeline.training.send import send
from pipeline.training.shelf import Shelf, checkpoint_name

MOST_UNDER_WAY = 1  # Ray Train uploads one at a time


class Uploads:
    """Checkpoints of this worker that are still on their way to storage."""

    def __init__(self) -> None:
        self._under_way, self._changed = 0, threading.Condition()

    def begins(self) -> None:
        """One more is handed over."""
        with self._changed:
            self._under_way += 1

    def ends(self) -> None:
        """One has arrived, or never will."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def behind(self) -> bool:
        """Whether one is being uploaded and another waits for it."""
        return self._under_way > MOST_UNDER_WAY

    def settle(self) -> None:
        """Wait until none is left; each ends within the storage's deadline."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)


def uploader(
    saving: Saving, shelf_uri: str, deadline_s: float, uploads: Uploads, lease: Pass | None = None
) -> Callable[[ray.train.Checkpoint, str], ray.train.Checkpoint]:
    """For ``ray.train.report``: copies a rank's files to the run's storage, each retried for ``deadline_s``.

    Nothing is written, and no list, once another driver has taken the run over: HeldElsewhere ends it.

    Digests are computed here, on the thread that uploads; the list of them is written last (pipeline.training.proof).
    Ray Train's own upload makes a few attempts of some seconds, in no order.
    """

    def upload(checkpoint: ray.train.Checkpoint, name: str) -> ray.train.Checkpoint:
        folder = Path(checkpoint.path)
        try:
            send(folder, saving, shelf_uri, deadline_s, lease)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # Ray Train removes it after a success only
            raise
        finally:
            uploads.ends()
        filesystem, path = arrow_filesystem(shelf_uri, deadline_s)
        return ray.train.Checkpoint(f"{path}/{checkpoint_name(saving.step)}", filesystem)

    return upload


class KeepNewest(ray.train.UserCallback):
    """Deletes old checkpoints when one more has arrived from every rank.

    Ray Train's own ``num_to_keep`` knows only those that it noted since it started, and fails a run over
    one that is gone.
    """

    def __init__(
        self, shelf_uri: str, deadline_s: float, number: int, lease: Pass | None = None, steps_back: int = 0
    ) -> None:
        self._shelf_uri, self._deadline_s, self._lease = shelf_uri, deadline_s, lease
        self._number, self._steps_back = number, steps_back

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Ray Train calls it once all ranks have reported."""
        if checkpoint is not None:
            if self._lease is not None:
                self._lease.check(self._deadline_s)
            Shelf(self._shelf_uri, self._deadline_s).keep_newest(self._number, self._steps_back)
