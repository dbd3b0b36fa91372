"""What Ray says of a client that left, before it says so in the way of every server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayError, TaskCancelledError
from ray.serve.exceptions import RequestCancelledError
from starlette.requests import ClientDisconnect

from pipeline.serving.service.asked import Asked
from pipeline.serving.service.front import Front, _told_who_left
from pipeline.serving.service.settings import ServeSettings
from pipeline.serving.service.versions import Version
from tests.pipeline.serving.service.conftest import picture

VERSION = Version("models:/tiny/3", "ab" * 32)


@pytest.mark.parametrize("error", [TaskCancelledError(), RayActorError()])
def test_a_body_that_ray_stops_fetching_is_a_client_that_left(face: Any, error: RayError) -> None:
    left: list[RayError] = []
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if left:
            await asyncio.Event().wait()  # as Ray's: it raises once, and no message comes after it
        left.append(error)
        raise error

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/restore/tiny", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000")],
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(_told_who_left(face.app())(scope, receive, send), 10))
    assert sent[0]["status"] == 499
    assert face.shut() == 0


def test_a_request_that_ray_cancels_is_not_tried_again() -> None:
    """It is Serve's own exception too, by which a replica that is gone is known."""
    asked: list[Any] = []

    class Handle:
        restore = property(lambda self: self)

        async def remote(self, *arguments: Any) -> None:
            asked.append(arguments)
            raise RequestCancelledError("of a client that left")

    front = Front(ServeSettings(models={"tiny": "x"}), {"tiny": Handle()})
    with pytest.raises(ClientDisconnect):
        asyncio.run(front.restore("tiny", VERSION, picture(), Asked()))
    assert len(asked) == 1
