"""Checkpoints on their way to the run's storage under Ray Train, and how many of them stay there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train

from pipeline.storage import arrow_filesystem, open_storage
from pipeline.training.proof import Saving, prove
from pipeline.training.shelf import Shelf, checkpoint_name


def uploader(
    saving: Saving, shelf_uri: str, deadline_s: float
) -> Callable[[ray.train.Checkpoint, str], ray.train.Checkpoint]:
    """For ``ray.train.report``: copies a rank's files to the run's storage, each retried for ``deadline_s``.

    Digests are computed here, on the thread that uploads; the list of them is written last (pipeline.training.proof).
    Ray Train's own upload makes a few attempts of some seconds, in no order.
    """

    def upload(checkpoint: ray.train.Checkpoint, name: str) -> ray.train.Checkpoint:
        folder = Path(checkpoint.path)
        try:
            send(folder, saving, shelf_uri, deadline_s)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # Ray Train removes it after a success only
            raise
        filesystem, path = arrow_filesystem(shelf_uri, deadline_s)
        return ray.train.Checkpoint(f"{path}/{checkpoint_name(saving.step)}", filesystem)

    return upload


def send(folder: Path, saving: Saving, shelf_uri: str, deadline_s: float | None = None) -> None:
    """Store a rank's part of a checkpoint, its proof last."""
    store = open_storage(f"{shelf_uri}/{checkpoint_name(saving.step)}", deadline_s)
    proof = prove(folder, saving)
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path != proof):
        store.write_file(file.relative_to(folder).as_posix(), file)
    store.write_file(saving.list_name, proof)


class KeepNewest(ray.train.UserCallback):
    """Deletes old checkpoints when one more has arrived from every rank.

    Ray Train's own ``num_to_keep`` knows only those that it noted since it started, and fails a run over one that is
    gone.
    """

    def __init__(self, shelf_uri: str, deadline_s: float, number: int) -> None:
        self._shelf_uri, self._deadline_s, self._number = shelf_uri, deadline_s, number

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Ray Train calls it once all ranks have reported."""
        if checkpoint is not None:
            Shelf(self._shelf_uri, self._deadline_s).keep_newest(self._number)
