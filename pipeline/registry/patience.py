"""MLflow calls that wait for a server which is away: for a while, then with one clear line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import UserError
from pipeline.registry.client import TrackingServerSilent, tracking_uri, without_credentials
from pipeline.storage.retry import DEADLINE_S, RetryCount, retry
from pipeline.storage.transient import status_may_pass

T = TypeVar("T")
RETRIES = RetryCount()


class TrackingUnavailable(UserError):
    """MLflow did not answer within the deadline."""


def patiently(what: str, call: Callable[[], T], deadline_s: float | None = None) -> T:
    """Return ``call()``, repeated for ``deadline_s`` seconds while MLflow is away; an answer of 4xx is raised at once.

    The seconds count from the first failure: ``call`` may make many requests, and take its time when all is well. None
    takes ``DEADLINE_S``. A call of MLflow keeps no worker waiting, so it may be longer than what S3 is given.

    ``call`` may have done its work although its answer was lost: it must be one that can be made twice.

    Raises:
        TrackingUnavailable: MLflow was away for longer.
    """
    return retry(
        call,
        is_transient=is_transient,
        deadline_s=DEADLINE_S if deadline_s is None else deadline_s,
        what=f"{what} in MLflow at {without_credentials(tracking_uri())}",
        gives_up=TrackingUnavailable,
        remedy="bring MLflow back, then run again to continue",
        count=RETRIES,
        many_requests=True,
    )


def is_transient(error: Exception) -> bool:
    """Whether MLflow may answer the same call later."""
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        status = error.get_http_status_code()  # of a broken connection: 500
    elif isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
    else:
        return isinstance(error, (TrackingServerSilent, requests.ConnectionError, requests.Timeout))
    return status_may_pass(status)
