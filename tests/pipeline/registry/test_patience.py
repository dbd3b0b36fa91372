"""MLflow away: waited for, then one clear line. MLflow answering: whatever it says is raised at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pipeline.config import TrainingSettings
from pipeline.registry.client import connect
from pipeline.registry.patience import TrackingUnavailable, patiently
from pipeline.storage.retry import DEADLINE_S

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """A port where nothing answers, which MLFLOW_TRACKING_URI names."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@{host}:{port}")
    return host, port


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def late_server(address: tuple[str, int]) -> Iterator[threading.Timer]:
    """Something that answers there, a second after it was asked for."""
    server: list[HTTPServer] = []

    def serve() -> None:
        server.append(HTTPServer(address, Healthy))
        server[0].serve_forever()

    timer = threading.Timer(1.0, serve)
    timer.start()
    yield timer
    if server:
        server[0].shutdown()
        server[0].server_close()
    timer.join()


def test_a_server_that_comes_back_is_waited_for(late_server: Any) -> None:
    assert patiently("opening a run", connect, deadline_s=30) is not None


def test_a_server_that_stays_away_is_one_line_without_the_password(address: tuple[str, int]) -> None:
    line = r"^opening a run in MLflow at http://127\.0\.0\.1:\d+ still failing after .* bring MLflow back, [^\n]*$"
    with pytest.raises(TrackingUnavailable, match=line) as caught:
        patiently("opening a run", connect, deadline_s=0.5)
    assert "secret" not in str(caught.value)


def test_calls_after_the_connection_broke_are_waited_out_too(tracking: Path, address: tuple[str, int]) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"http://{address[0]}:{address[1]}")
    with pytest.raises(TrackingUnavailable, match="still failing after"):
        patiently("setting tags", lambda: client.set_tag("run", "key", "value"), deadline_s=0.5)


def test_a_refusal_is_an_answer(tracking: Path) -> None:
    client, began = connect(), time.monotonic()
    with pytest.raises(MlflowException, match="not found"):
        patiently("looking at a run", lambda: client.get_run("0" * 32), deadline_s=60)
    assert time.monotonic() - began < 30


def test_the_documents_say_how_long_it_is() -> None:
    training = TrainingSettings(steps=1, global_batch_size=2)
    s3, mlflow = f"{training.storage_deadline_s:g} s", f"{DEADLINE_S:g} s"
    assert f"MLflow {mlflow}" in (TrainingSettings.model_fields["outage_deadline_s"].description or "")
    assert f"S3 {s3}, MLflow {mlflow}" in (ROOT / "pipeline/training/README.md").read_text()
    rows = (ROOT / "infra/OPERATIONS.md").read_text().splitlines()
    assert next(row for row in rows if row.startswith("| MLflow: start and end")).endswith(f"else {mlflow} |")
    assert next(row for row in rows if row.startswith("| S3: samples")).endswith(f": {s3} |")
