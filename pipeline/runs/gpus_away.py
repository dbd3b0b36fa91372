"""A run that went on GPUs, and is started again where none is, is not begun anew on CPUs in silence."""

from __future__ import annotations

from pipeline.config import RunConfig
from pipeline.errors import UserError
from pipeline.training.devices import with_devices
from pipeline.training.ray_train import run_shelf_uri
from pipeline.training.shelf import Shelf


def check_gpus_are_there(given: RunConfig, config: RunConfig, run_name: str) -> None:
    """Refuse ``config`` where only CPUs were decided and the same command has trained on GPUs before.

    There the precision is another, so it is another run: the command would not go on with what is saved.

    given: before the devices were decided. run_name: of ``config``, with its fingerprint in it.

    Raises:
        UserError: the run has checkpoints of GPUs and none of CPUs.
    """
    if given.training.use_gpu != "auto" or config.training.on_gpu:
        return
    there = with_devices(given, {"GPU": given.training.max_workers})
    if there.fingerprint() == config.fingerprint():  # the precision is given: it goes on, on CPUs
        return
    deadline_s = config.training.storage_deadline_s
    address = run_shelf_uri(there, run_name.replace(config.fingerprint(), there.fingerprint()))
    if not Shelf(run_shelf_uri(config, run_name), deadline_s).contents() and Shelf(address, deadline_s).contents():
        raise UserError(
            f"{config.task}: this run was on GPUs, its checkpoints are in {address}, and the cluster has too few GPUs "
            "now: start it again when they are back, or give training.use_gpu=false to begin anew on CPUs"
        )
