"""What ends a run under Ray Train at once: what no new workers would mend, such as S3 away past the deadline."""

from __future__ import annotations

from typing import Any

import ray.train

from pipeline.errors import UserError
from pipeline.ray_internals import UserExceptionWithTraceback


class EndOfPatience(ray.train.UserCallback):
    """Ends the run when a worker met what a person must mend: S3 away until the deadline, damaged data, bad input.

    Ray Train would start new workers up to ``max_failures`` times, who would meet the same; an error of a callback it
    does not retry.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        for failure in worker_exceptions.values():
            cause = _cause(failure)
            if isinstance(cause, UserError):
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
    inner = failure._base_exc if isinstance(failure, UserExceptionWithTraceback) else getattr(failure, "cause", None)
    return _cause(inner) if isinstance(inner, BaseException) else failure
