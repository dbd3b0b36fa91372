"""What MLflow is told by the environment; some of it is read while it is imported, so this comes first of the room."""

from __future__ import annotations

import os


def set_environment() -> None:
    """No pickles, in this process and those that it starts; the rest unless a person chose otherwise."""
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # MLflow's own retries go on for minutes, know no deadline, and repeat what must not be done twice: making a version
    # when only the answer was lost. See pipeline.registry.patience.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")


set_environment()
