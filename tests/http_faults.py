"""A proxy that counts HTTP calls and harms one of them: what a network, or the end of a process, can do to a client."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Fault = Literal["refused", "lost", "stalled", "killed", "killed_after", "halted"]
NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length"}  # the host is: S3 signs it


class FaultyProxy:
    """Between a client and the server at ``upstream``; harms the one call that ``arm`` chose.

    refused: the connection breaks before the server hears of the call. lost: the server does its work, the answer never
    comes. stalled: so too, and the connection stays open. killed, killed_after: ``kill`` is called before or after the
    server did its work, and no answer comes. halted: ``kill`` is called before, and the call goes on its way.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.calls: list[str] = []
        self.harmed = ""
        self._chosen: Callable[[int, str], bool] = lambda number, call: False
        self._fault: Fault = "lost"
        self._kill: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._release = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                proxy._serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

            def log_message(self, format: str, *arguments: Any) -> None:
                del format, arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def arm(self, chosen: Callable[[int, str], bool], fault: Fault, kill: Callable[[], None] = lambda: None) -> None:
        """Harm the first call for which ``chosen(number from 0, "POST /path?query")`` is true; numbers start again."""
        with self._lock:
            self._release.set()
            self._release = threading.Event()
            self.calls, self.harmed = [], ""
            self._chosen, self._fault, self._kill = chosen, fault, kill

    def close(self) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: BaseHTTPRequestHandler) -> None:
        call = f"{client.command} {client.path}"
        body = _body(client)
        with self._lock:
            harmed = not self.harmed and self._chosen(len(self.calls), call)
            self.calls.append(call)
            if harmed:
                self.harmed = call
            fault, release, kill = self._fault, self._release, self._kill
        if harmed and fault in ("refused", "killed"):
            if fault == "killed":
                kill()
            return _break(client)
        if harmed and fault == "halted":
            kill()
        status, headers, length, answer = self._ask(client, body)
        if harmed and fault != "halted":
            if fault == "killed_after":
                kill()
            if fault == "stalled":
                release.wait(60)
            return _break(client)
        client.send_response(status)
        for name, value in headers:
            client.send_header(name, value)
        client.send_header("Content-Length", length)
        client.end_headers()
        if client.command != "HEAD":
            client.wfile.write(answer)
        return None

    def _ask(self, client: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], str, bytes]:
        server = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=120)
        headers = {name: value for name, value in client.headers.items() if name.lower() not in NOT_PASSED_ON}
        server.request(client.command, client.path, body=body, headers=headers)
        response = server.getresponse()
        answer = response.read()
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in NOT_PASSED_ON]
        length = response.getheader("Content-Length", "0") if client.command == "HEAD" else str(len(answer))
        server.close()
        return response.status, kept, length, answer


def _body(client: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in client.headers.get("Transfer-Encoding", ""):
        return client.rfile.read(int(client.headers.get("Content-Length", 0)))
    parts = []
    while size := int(client.rfile.readline().split(b";")[0], 16):
        parts.append(client.rfile.read(size))
        client.rfile.readline()
    client.rfile.readline()
    return b"".join(parts)


def _break(client: BaseHTTPRequestHandler) -> None:
    client.close_connection = True
    client.connection.shutdown(socket.SHUT_RDWR)
