"""What may pass by itself is waited out, what is an answer is not – whichever client it came through."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import urllib3.exceptions
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from pipeline.storage import StorageUnavailable, open_storage
from pipeline.storage.transient import may_pass


def answer(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


@pytest.mark.parametrize(
    "error",
    [
        answer(500, "InternalError"),
        answer(503, "SlowDown"),
        answer(429, "429"),
        answer(403, "RequestTimeTooSkewed"),
        answer(400, "RequestTimeout"),
        EndpointConnectionError(endpoint_url="http://127.0.0.1:9"),
        urllib3.exceptions.IncompleteRead(1, 2),
        ConnectionResetError(),
        TimeoutError(),
        OSError("When getting information for key 'a' in bucket 'b': AWS Error NETWORK_CONNECTION during HeadObject"),
        OSError("AWS Error SLOW_DOWN during ListObjectsV2 operation: Please reduce your request rate"),
        OSError("AWS Error INTERNAL_FAILURE during PutObject operation: We encountered an internal error"),
        OSError("AWS Error REQUEST_TIME_TOO_SKEWED during PutObject operation"),
        OSError("AWS Error UNKNOWN (HTTP status 502) during HeadObject operation: No response body."),
        OSError("AWS Error UNKNOWN (HTTP status 429) during HeadObject operation: No response body."),
    ],
    ids=str,
)
def test_what_may_pass(error: Exception) -> None:
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        answer(404, "NoSuchKey"),
        answer(403, "AccessDenied"),
        answer(412, "PreconditionFailed"),
        NoCredentialsError(),
        FileNotFoundError("a"),
        OSError("AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: The bucket does not exist"),
        OSError("AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: No response body."),
        OSError("No space left on device"),
        KeyError("a"),
    ],
    ids=str,
)
def test_what_is_an_answer(error: Exception) -> None:
    assert not may_pass(error)


def test_a_silent_server_costs_no_more_than_the_deadline_and_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes every connection, and never answers
        held: list[socket.socket] = []
        threading.Thread(target=lambda: [held.append(server.accept()[0]) for _ in range(50)], daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(StorageUnavailable, match="bring the store back"):
            open_storage("s3://tests", deadline_s=2).read("x")
        assert time.monotonic() - started < 2 + 1 + 1  # one answer's worth, and a loaded machine
        for connection in held:
            connection.close()
