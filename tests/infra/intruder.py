"""Another user of the machine: run as root, becomes nobody, asks every port in every way, prints what it was given.

``python intruder.py`` reads ``{"ports": [...], "http": [[method, path], ...], "token": "", "files": [...]}`` and writes
``{"http": [[port, method, path, status, text], ...], "grpc": {port: {code: [method, ...]}}, "files": [...]}``.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import pkgutil
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import ray.core.generated

NOBODY = 65534
REFUSALS = {400, 401, 403, 404, 405, 501}  # 404, 405, 501: there is no such thing to be had
PATIENCE_S = 3.0


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def grpc_methods() -> list[str]:
    """Every unary method of Ray's services, and what servers of other kinds answer."""
    found = ["/master_pb.Seaweed/Statistics", "/filer_pb.SeaweedFiler/Statistics"]
    for module in pkgutil.iter_modules(ray.core.generated.__path__):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(f"ray.core.generated.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                found += [f"/{service.full_name}/{method.name}" for method in service.methods]
    return found


def ask_grpc(port: int, methods: list[str], token: str) -> dict[str, list[str]]:
    """Status code → methods that were answered with it; one code alone, when no gRPC server listens."""
    answers: dict[str, list[str]] = {}
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in methods:
            call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            try:
                call(b"", metadata=metadata, timeout=PATIENCE_S)
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name  # type: ignore[attr-defined]
            answers.setdefault(code, []).append(method)
            if code == "UNAVAILABLE":
                break
    return answers


def ask_http(port: int, requests: list[list[str]]) -> Iterator[list[Any]]:
    """What was answered, refusals left out."""
    handlers = [
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),
    ]
    open_ = urllib.request.build_opener(*handlers).open
    for scheme in ("http", "https"):
        for method, path in requests:
            body = b"{}" if method in ("POST", "PUT") else None
            request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", data=body, method=method)
            try:
                with open_(request, timeout=PATIENCE_S) as answer:
                    yield [port, method, path, answer.status, answer.read(200).decode("latin-1")]
            except urllib.error.HTTPError as error:
                if error.code not in REFUSALS:
                    yield [port, method, path, error.code, error.read(200).decode("latin-1")]
            except (OSError, ValueError, http.client.HTTPException):  # another protocol, or another scheme
                break


def opened(path: str) -> bool:
    """Whether a file, folder or socket lets this user in."""
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            os.close(os.open(path, os.O_RDONLY))
        return True
    except OSError:
        pass
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
            return True
        except OSError:
            return False


def main() -> None:
    task = json.load(sys.stdin)
    methods = grpc_methods()
    become_nobody()
    found = {
        "http": [answer for port in task["ports"] for answer in ask_http(port, task["http"])],
        "grpc": {port: ask_grpc(port, task.get("methods", methods), task.get("token", "")) for port in task["ports"]},
        "files": [path for path in task["files"] if opened(path)],
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
