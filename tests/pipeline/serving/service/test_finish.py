from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.serving.service import finish as module
from pipeline.serving.service.deploy import StoppedEarlyError, _Stop
from pipeline.serving.service.finish import finish, longest
from pipeline.serving.service.settings import Limits
from tests.pipeline.serving.service.asgi import ask
from tests.pipeline.serving.service.conftest import picture


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(module, "LAST_S", 0.001)


def ended(shut: Callable[[], int], most_s: float, hurry: threading.Event | None = None) -> list[str]:
    lines: list[str] = []
    finish(shut, most_s, hurry or threading.Event(), lines.append)
    assert lines.pop(0).startswith("stopping: requests at work are finished first")
    return lines


def test_it_waits_until_nobody_is_inside() -> None:
    inside = [2, 2, 1, 0]
    assert ended(lambda: inside.pop(0), 60) == []
    assert inside == []


def test_it_waits_no_longer_than_a_request_may_take_and_says_so() -> None:
    assert ended(lambda: 3, 0.01) == ["stopping now: 3 requests are cut off, since they took longer than 0.01 s"]
    assert longest(Limits(seconds=1000)) == 1150  # 120 to arrive, 30 to be sent


def test_a_second_signal_ends_the_wait() -> None:
    stop = _Stop()
    stop.started()
    stop.told(signal.SIGTERM)
    stop.wait()

    def shut() -> int:
        stop.told(signal.SIGINT)
        return 1

    assert ended(shut, 60, stop.again) == ["stopping now: 1 requests are cut off, since a second signal came"]


def test_a_signal_before_it_serves_ends_its_start() -> None:
    stop = _Stop()
    with pytest.raises(StoppedEarlyError):
        stop.told(signal.SIGTERM)
    stop.told(signal.SIGTERM)


def test_a_request_is_inside_until_its_client_has_the_answer(face: Any) -> None:
    """The server says that a client is done when it took the last message: that one must not hold the picture."""
    sent: list[dict[str, Any]] = []
    done = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if sent and not sent[-1].get("more_body", True):
            await done.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": picture()}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> tuple[int, int]:
        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/restore/tiny", "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8000")],
        }  # fmt: skip
        task = asyncio.create_task(face.app()(scope, receive, send))
        while not sent or sent[-1].get("more_body", True):
            await asyncio.sleep(0)
        reading = face.shut()
        refused = await ask(face.app(), "POST", "/v1/restore/tiny", picture())
        assert (refused.status, refused.headers["retry-after"]) == (503, "10")
        assert "is stopping" in refused.error
        assert (await ask(face.app(), "GET", "/metrics")).status == 200
        done.set()
        await task
        return reading, face.shut()

    assert asyncio.run(run()) == (1, 0)
    assert sent[0]["status"] == 200
    assert (sent[-1]["body"], sent[-2]["more_body"]) == (b"", True)
