"""Ports of the stack: chosen free, remembered, and chosen again only when somebody else took one."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

# Below Linux's ephemeral ports (32768 and up), which any outgoing connection may occupy, and above the ports
# 10002–19999 that Ray gives to its workers.
FIRST_PORT = 20000
LAST_PORT = 29999

_SEAWEEDFS = ("s3", "master", "volume", "filer", "admin")
NAMES: dict[str, tuple[str, ...]] = {
    "s3": tuple(f"{name}{kind}" for name in _SEAWEEDFS for kind in ("", "_grpc")),
    "mlflow": ("mlflow",),
    "ray": (
        "gcs",
        "dashboard",
        "object_manager",
        "node_manager",
        "client_server",
        "agent_http",
        "agent_grpc",
        "runtime_env_agent",
        "metrics",
    ),
}

Ports = dict[str, int]


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(names: Iterable[str], taken: Iterable[int] = (), rng: random.Random | None = None) -> Ports:
    """A free port for each name, none of them in `taken`.

    Raises:
        OSError: fewer free ports than names.
    """
    order = list(range(FIRST_PORT, LAST_PORT + 1))
    (rng or random.SystemRandom()).shuffle(order)
    excluded = set(taken)
    candidates = (port for port in order if port not in excluded and is_free(port))
    ports: Ports = {}
    for name in names:
        port = next(candidates, None)
        if port is None:
            raise OSError(f"no free port between {FIRST_PORT} and {LAST_PORT} of 127.0.0.1")
        ports[name] = port
    return ports


def load(path: Path) -> Ports:
    """Remembered ports; none when the file is missing or was not written whole."""
    try:
        stored = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {name: port for name, port in stored.items() if isinstance(port, int)}


def dump(ports: Ports) -> str:
    """Text for `load`."""
    return json.dumps(ports, indent=1)


def settle(remembered: Ports, running: Iterable[str]) -> Ports:
    """Ports of every part: the remembered ones where they are whole and the part runs or they are free.

    Args:
        remembered: what `load` gave.
        running: parts whose processes hold their ports now.
    """
    settled: Ports = {}
    renew: list[str] = []
    for part, names in NAMES.items():
        known = {name: remembered[name] for name in names if name in remembered}
        if len(known) == len(names) and (part in running or all(map(is_free, known.values()))):
            settled |= known
        else:
            renew += names
    return settled | choose(renew, taken=settled.values())
