"""One server of the stack: how it is started, and when it is up."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infra.local.environment import fingerprint


@dataclass(frozen=True, kw_only=True)
class Part:
    """What `infra.local.lifecycle` needs to bring a server up.

    Attributes:
        name: "s3", "mlflow" or "ray".
        title: its name for people.
        address: where a person or a program finds it.
        argv: the command; no secret may be in it, since every user of the machine can read it.
        env: the whole environment of the command.
        settings: names in `env` whose change asks for a restart.
        is_up: asks the server, within seconds, and never raises for a server that does not answer.
        gives_up: what the server says in its log when it ended only because this machine was too busy for its own
            patience. It is then started again, as a supervisor would; None: it has no such patience.
    """

    name: str
    title: str
    address: str
    argv: Sequence[str]
    env: Mapping[str, str]
    settings: Sequence[str]
    is_up: Callable[[], bool]
    gives_up: str | None = None

    @property
    def fingerprint(self) -> str:
        """Changes when the command or its settings do."""
        chosen = [f"{name}={self.env[name]}" for name in sorted(self.settings) if name in self.env]
        return fingerprint("\0".join([*self.argv, *chosen]))


_ANSWER_TIMEOUT_S = 5.0
# A proxy of the user's must not stand between this machine and itself.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def get(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> bytes | None:
    """Body of a 200 answer, None for every other answer and for none within seconds."""
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    try:
        with _open(request, timeout=_ANSWER_TIMEOUT_S) as response:
            return response.read() if response.status == 200 else None
    except (OSError, urllib.error.URLError, ValueError):
        return None
