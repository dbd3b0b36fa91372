"""The door to the MLflow server: settings of our own use, and a check that fails in seconds, not minutes."""

from __future__ import annotations

import getpass
import logging
import os
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from pipeline.errors import UserError
from pipeline.registry.mlflow_environment import set_environment

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONNECT_TIMEOUT_S = 5.0


class TrackingServerSilent(UserError):
    """The MLflow server does not answer, or not as one that works: it may be starting."""


METRICS_PER_REQUEST = 500  # MLflow's own limit is 1000
MAX_DESCRIPTION = 5000  # characters; the width of MLflow's column on PostgreSQL and MySQL


def connect() -> MlflowClient:
    """A client of the server that ``MLFLOW_TRACKING_URI`` names, after checking that it answers.

    Raises UserError when the variable is not set, TrackingServerSilent when the server does not answer. Pickles stay
    switched off in this process and those it starts.
    """
    set_environment()
    uri = tracking_uri()
    check_tracking_server(uri)
    import mlflow

    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(tracking_uri=uri)


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``. Raises UserError when it is not set."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        raise UserError(
            "MLFLOW_TRACKING_URI is not set; set it to your MLflow server, for example http://127.0.0.1:5000 "
            "(after `make up`: `. .stack/env`)"
        )
    return uri


def check_tracking_server(uri: str) -> None:
    """Raises TrackingServerSilent unless MLflow answers within 5 s; a database or folder passes unchecked."""
    if not uri.startswith(("http://", "https://")):
        return
    address = without_credentials(uri)
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=CONNECT_TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        # It answers: credentials come with each call, and not every server has /health.
        if error.code in (401, 404, 405):
            return
        kind = TrackingServerSilent if error.code >= 500 else UserError
        raise kind(
            f"the MLflow server at {address} answers {error.code} {error.reason}; check MLFLOW_TRACKING_URI "
            "and the host names that the server allows"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise TrackingServerSilent(
            f"no MLflow server answers at {address} ({reason}); start it or correct MLFLOW_TRACKING_URI"
        ) from None


def without_credentials(uri: str) -> str:
    """The address without user name and password, fit for messages."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def run_page(experiment_id: str, run_id: str) -> str:
    """The address of a run's page; of a store without pages (a database, a folder) the store and the run's id."""
    uri = without_credentials(tracking_uri()).rstrip("/")
    if not uri.startswith(("http://", "https://")):
        return f"MLflow run {run_id} in {uri}"
    return f"{uri}/#/experiments/{experiment_id}/runs/{run_id}"


def file_address(run_id: str, name: str) -> str:
    """Where MLflow's own pages, and no others, find a file of a run, for pictures in a description."""
    return f"get-artifact?path={quote(name, safe='')}&run_uuid={run_id}"


def made_by() -> dict[str, str]:
    """Tags by which MLflow's pages tell who made a run, and with which command."""
    from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

    tags = {MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name, MLFLOW_SOURCE_TYPE: "JOB"}
    with suppress(KeyError, OSError):  # a container's user may have no name
        tags[MLFLOW_USER] = os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    return tags


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Hide MLflow's advice on type hints and models from code while saving; errors still raise."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
