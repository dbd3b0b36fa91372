"""What S3 being away means for a run under Ray Train: uploads wait, and past the deadline the run ends, and says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train

from pipeline.errors import UserError
from pipeline.ray_internals import get_train_context
from pipeline.storage import StorageUnavailable, open_storage


def uploader(deadline_s: float) -> Callable[[ray.train.Checkpoint, str], ray.train.Checkpoint]:
    """For ``ray.train.report``: copies a local folder's files to the run's storage, each retried for ``deadline_s``.

    Ray Train's own upload makes a few attempts of some seconds.
    """

    def upload(checkpoint: ray.train.Checkpoint, name: str) -> ray.train.Checkpoint:
        run = get_train_context().get_storage()
        path, is_local = run.build_checkpoint_path_from_name(name), run.storage_filesystem.type_name == "local"
        folder, store = Path(checkpoint.path), open_storage(path if is_local else f"s3://{path}", deadline_s)
        try:
            for file in sorted(file for file in folder.rglob("*") if file.is_file()):
                store.write_file(file.relative_to(folder).as_posix(), file)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # Ray Train removes it after a success only
            raise
        return ray.train.Checkpoint(path, run.storage_filesystem)

    return upload


class EndOfPatience(ray.train.UserCallback):
    """Ends the run when a worker waited for S3 until the deadline: new workers would only wait again.

    Ray Train would start them up to ``max_failures`` times; an error of a callback it does not retry.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        for failure in worker_exceptions.values():
            cause = _cause(failure)
            if isinstance(cause, StorageUnavailable):
                raise cause


def user_error(error: ray.train.TrainingFailedError) -> UserError | None:
    """What the person can mend, if that is why the run failed."""
    if isinstance(error, ray.train.ControllerError):
        failures = [error.controller_failure]
    else:
        failures = list(getattr(error, "worker_failures", {}).values())
    return next((cause for cause in map(_cause, failures) if isinstance(cause, UserError)), None)


def _cause(failure: BaseException) -> BaseException:
    """The worker's own exception: Ray wraps it for the traceback, and once more on its way here."""
    for name in ("cause", "_base_exc"):
        inner = getattr(failure, name, None)
        if isinstance(inner, BaseException):
            return _cause(inner)
    return failure
