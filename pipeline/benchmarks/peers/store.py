"""A read-only object store on loopback that counts the bytes it hands out: every library reads it as its S3.

It answers GET (whole objects and ranges) and HEAD of ``/bucket/key`` from a folder, and checks no signature. Without
latency and bandwidth of a network, seconds are a lower bound; bytes are what a network would carry.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

BUCKET = "peers"
MISSING = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>'


@dataclass(frozen=True)
class Transfer:
    """One answer's body: when it was sent (seconds since the epoch), of which object, how many bytes."""

    time: float
    key: str
    size: int


class _Server(ThreadingHTTPServer):
    """One thread per connection; a consumer that is killed breaks its connections off, which is no news."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class CountingStore:
    """Serve a folder as the bucket ``peers`` until the ``with`` block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._transfers: list[Transfer] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """Its address, as an S3 client's endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def between(self, start: float, end: float) -> list[Transfer]:
        """What was sent in [start, end], seconds since the epoch."""
        return [transfer for transfer in list(self._transfers) if start <= transfer.time <= end]

    def __enter__(self) -> CountingStore:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def _answer(self, with_body: bool) -> None:
                key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
                content = store.read(key)
                if content is None:
                    self._send(404, MISSING, {"Content-Type": "application/xml"}, with_body)
                    return
                status, body, headers = cut_range(content, self.headers.get("Range"))
                headers["Last-Modified"] = formatdate(0, usegmt=True)
                headers["ETag"] = f'"{len(content):x}"'
                if with_body and body:
                    store.note(key, len(body))
                self._send(status, body, headers, with_body)

            def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        return Handler

    def read(self, key: str) -> bytes | None:
        """The bytes of an object, or None; nothing outside the folder is one."""
        path = (self.folder / key).resolve()
        return path.read_bytes() if path.is_relative_to(self.folder.resolve()) and path.is_file() else None

    def note(self, key: str, size: int) -> None:
        """Count an answer."""
        self._transfers.append(Transfer(time.time(), key, size))


def cut_range(content: bytes, wanted: str | None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an answer to a ``Range`` header, as RFC 9110 has it: one range, or the whole."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if not found or found[0] == "bytes=-":
        return 200, content, headers
    if found[1]:
        start, end = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
    else:
        start, end = max(len(content) - int(found[2]), 0), len(content) - 1
    if start >= len(content) or start > end:
        return 416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"}
    return 206, content[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"}
