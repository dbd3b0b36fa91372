"""A client of an ASGI application in this process: no sockets, no server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    taken: int
    """Pieces of the request's body that the application asked for."""

    @property
    def error(self) -> str:
        text = self.body.decode()
        assert text.endswith("\n")
        assert "\n" not in text[:-1]
        return str(json.loads(text)["error"])


async def ask(
    app: Any, method: str, target: str, body: bytes | Iterable[bytes] | AsyncIterator[bytes] = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:  # fmt: skip
    parts = urlsplit(target)
    given = {"host": "127.0.0.1:8000", **(headers or {})}
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": parts.path, "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(), "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000), "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in given.items()],
    }  # fmt: skip
    waiting = body if isinstance(body, AsyncIterator) else _one_by_one([body] if isinstance(body, bytes) else body)
    taken = 0
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        if any(message["type"] == "http.response.body" and not message.get("more_body") for message in sent):
            return {"type": "http.disconnect"}
        piece = await anext(waiting, None)
        if piece is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    raw = sent[0]["headers"]
    return Reply(
        sent[0]["status"],
        {name.decode().lower(): value.decode("latin-1") for name, value in raw},
        b"".join(message.get("body", b"") for message in sent[1:]),
        taken,
    )


async def _one_by_one(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def call(app: Any, method: str, target: str, body: bytes | Iterable[bytes] = b"", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(ask(app, method, target, body, named))
