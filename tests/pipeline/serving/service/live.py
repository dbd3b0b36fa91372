"""`jobs/serve.py` in a process of its own, and a client that keeps its connection."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parents[4]
START_S, STOP_S = 420.0, 120.0


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Live:
    """A running service. process: of `jobs/serve.py`, whose children are Ray's."""

    port: int
    process: subprocess.Popen[bytes]

    def ask(self, method: str, target: str, body: bytes | None = None, timeout: float = 120, **headers: str) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target, body, {k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Got(response.status, named, response.read())
        finally:
            connection.close()

    def figure(self, name: str, **headers: str) -> float:
        """A line of ``/metrics``; 0 where it is not there yet."""
        text = self.ask("GET", "/metrics", **headers).body.decode()
        return float(text.partition(f"\n{name} ")[2].partition("\n")[0] or 0)

    def replicas(self, name: str) -> list[psutil.Process]:
        """The processes of a model's replicas."""
        return replicas(self.process, name)


def replicas(process: subprocess.Popen[bytes], name: str = "") -> list[psutil.Process]:
    """The processes of a model's replicas, or of all, among the children of a service."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            line = " ".join(child.cmdline())
            if "ray::ServeReplica" in line and f":{name}" in line:
                found.append(child)
    return found


def begin(port: int, target: str, data: bytes, buffer: int | None = None, **headers: str) -> socket.socket:
    """A request of which all but the last byte is sent. buffer: bytes that the client takes in before it is read."""
    client = socket.socket()
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(STOP_S)
    client.connect(("127.0.0.1", port))
    named = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(data)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    client.sendall(f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + data[:-1])
    return client


def read(client: socket.socket) -> tuple[int, bytes]:
    """Status and body of the answer."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, response.read()


def until(there: Callable[[], bool]) -> None:
    """Wait for something of a service that runs. Fails when it takes too long."""
    waited = threading.Event()
    for _ in range(int(STOP_S / 0.1)):
        if there():
            return
        waited.wait(0.1)
    raise AssertionError(f"not within {STOP_S:g} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Starting:
    """A command that may not listen yet."""

    port: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def printed(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def until(self, there: Callable[[], bool]) -> None:
        """Wait for something of it. Fails when it ends or takes too long."""
        waited = threading.Event()
        for _ in range(int(START_S / 0.1)):
            if there():
                return
            assert self.process.poll() is None, self.printed()
            waited.wait(0.1)
        raise AssertionError(self.printed())


@contextmanager
def starting(*words: str, env: Mapping[str, str] | None = None) -> Iterator[Starting]:
    """The command in a session of its own; nothing of it is left after the block."""
    port = free_port()
    command = [sys.executable, "jobs/serve.py", *words, "--port", str(port)]
    given = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SEMANIR_SERVE"))}
    given |= {"PYTHONUNBUFFERED": "1", "RAY_worker_niceness": "0", **(env or {})}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=given, stdout=log, stderr=log, start_new_session=True)
        try:
            yield Starting(port, process, log)
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()


@contextmanager
def service(*words: str, env: Mapping[str, str] | None = None) -> Iterator[Live]:
    """It serves while the block runs, and must then end by itself, with status 0."""
    with starting(*words, env=env) as it:
        it.until(lambda: "ctrl-C stops" in it.printed())
        yield Live(it.port, it.process)
        if it.process.poll() is None:
            it.process.send_signal(signal.SIGTERM)
        assert it.process.wait(STOP_S) == 0, it.printed()
        _, stopping, after = it.printed().partition("stopping: requests at work are finished first")
        assert stopping, it.printed()
        # Of the end alone: Ray rightly speaks of a replica that a test killed.
        assert not [line for line in after.splitlines() if "cut off" in line or "raylet" in line], after
