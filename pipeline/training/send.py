"""A rank's part of a checkpoint on its way to the run's storage."""

from __future__ import annotations

from pathlib import Path

from pipeline.storage import open_storage
from pipeline.storage.lease import Pass
from pipeline.training.proof import Saving, prove
from pipeline.training.shelf import checkpoint_name


def send(
    folder: Path, saving: Saving, shelf_uri: str, deadline_s: float | None = None, lease: Pass | None = None
) -> None:
    """Store the files of ``folder``, and last the list that proves them.

    Raises:
        HeldElsewhere: another driver has taken the run over, ``lease`` is lost; what was sent by then proves nothing.
        StorageUnavailable: the store stayed silent for ``deadline_s``.
    """
    if lease is not None:
        lease.check(deadline_s)
    store = open_storage(f"{shelf_uri}/{checkpoint_name(saving.step)}", deadline_s)
    proof = prove(folder, saving)
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path != proof):
        store.write_file(file.relative_to(folder).as_posix(), file)
    if lease is not None:
        lease.check(deadline_s)
    store.write_file(saving.list_name, proof)
