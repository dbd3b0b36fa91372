"""Which version of each model serves: the one that its alias points at, once it has proven itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError, first_line
from pipeline.registry import AlteredModelError
from pipeline.serving.service.refusal import one_line
from pipeline.serving.service.replica import Vetted
from pipeline.serving.service.versions import Version

RETRY_S = 60.0  # before a version that was refused is tried once more: a damaged download is fetched anew

Resolve = Callable[[str], tuple[Version, Path]]
Vet = Callable[[str, Version], Awaitable[Vetted]]


@dataclass
class _Refusal:
    version: Version
    at: float


class Follower:
    """Attributes:
    current: name -> the version that serves; a name without one has no version that could be proven.
    problems: name -> why the version that is wanted does not serve, or why nobody can say which is wanted.
    """

    def __init__(
        self, addresses: Mapping[str, str], vet: Vet, resolve: Resolve, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._addresses, self._vet, self._resolve, self._clock = dict(addresses), vet, resolve, clock
        self._refused: dict[str, _Refusal] = {}
        self.current: dict[str, Version] = {}
        self.problems: dict[str, str] = {}

    async def look(self) -> list[str]:
        """Ask where each alias points, and let what has proven itself take over; returns the names that changed.

        An address without an alias is asked for until it serves, and never again.
        """
        wanted = [name for name, address in self._addresses.items() if "@" in address or name not in self.current]
        changed = await asyncio.gather(*(self._look_at(name) for name in wanted))
        return [name for name, yes in zip(wanted, changed, strict=True) if yes]

    async def _look_at(self, name: str) -> bool:
        try:
            version, _ = await asyncio.to_thread(self._resolve, self._addresses[name])
        except (UserError, AlteredModelError, OSError) as error:
            self.problems[name] = one_line(first_line(error))
            return False
        if version == self.current.get(name):
            self.problems.pop(name, None)
            return False
        refused = self._refused.get(name)
        if refused is not None and refused.version == version and self._clock() - refused.at < RETRY_S:
            return False
        vetted = await self._vet(name, version)
        if vetted.problem:
            self._refused[name] = _Refusal(version, self._clock())
            self.problems[name] = one_line(f"{version.address} does not serve: {vetted.problem}")
            if name in self.current or vetted.held is None:
                return False
            version = vetted.held  # this process is new, and the replicas know what served before it came
        else:
            self.problems.pop(name, None)
        changed = self.current.get(name) != version
        self.current[name] = version
        return changed
