"""One replica of a model: decodes, computes a tile at a time, encodes; the others help with a large picture's tiles."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.errors import UserError, first_line
from pipeline.registry import AlteredModelError
from pipeline.restoring.restorer import Restorer
from pipeline.serving.service.answer import Answer, answer
from pipeline.serving.service.asked import Asked, AskedPixel
from pipeline.serving.service.keys import KeysOfPixel, keys_of_pixel
from pipeline.serving.service.loaded import Loaded
from pipeline.serving.service.refusal import Refused, RefusedError, one_line
from pipeline.serving.service.settings import Limits, Replicas
from pipeline.serving.service.versions import Version
from pipeline.serving.shared_tiles import restore_shared
from semanir.tiling import ModelShape

SHARED_FROM = 4  # tiles; a smaller picture is done before another replica has answered
TILE_WAIT_S = 60.0


@dataclass(frozen=True)
class Vetted:
    """problem: why a version may not serve, "" if it may. held: the version that this replica vetted last."""

    problem: str
    held: Version | None


class Model:
    """The class behind a Ray Serve deployment; Ray starts it as often as there are replicas.

    A replica whose first version is not what was registered fails to start, and takes no request.
    """

    def __init__(self, version: Version, limits: Limits, replicas: Replicas) -> None:
        self._limits = limits
        self._loaded = Loaded("cuda" if replicas.gpus else "cpu")
        self._loaded.get(version)
        self._pool = ThreadPoolExecutor(replicas.at_once + 1)  # one for a tile of another replica's picture
        self._computing = threading.Lock()
        self._helpers = replicas.most - 1

    async def vet(self, version: Version) -> Vetted:
        """Load ``version`` beside what serves: digests and probe decide whether it may take over."""
        problem = ""
        try:
            await self._in_thread(lambda: self._loaded.get(version))
        except (AlteredModelError, UserError, OSError) as error:
            problem = one_line(first_line(error))
        return Vetted(problem, self._loaded.newest())

    async def restore(self, version: Version, data: bytes, asked: Asked) -> Answer | Refused:
        """Restore a file; a request that its client gave up, or that is out of time, stops at the next tile."""
        loop, stop = asyncio.get_running_loop(), threading.Event()

        def run(restorer: Restorer, network_input: torch.Tensor) -> torch.Tensor:
            shape = ModelShape.of(restorer.model)
            sides = max(network_input.shape[2:]), restorer.tile
            large = 0 < sides[1] < sides[0] and network_input[0, 0].numel() >= SHARED_FROM * restorer.tile**2

            def send(tile: torch.Tensor) -> Future[torch.Tensor | None]:
                return asyncio.run_coroutine_threadsafe(self._ask(version, tile, restorer.k), loop)

            return restore_shared(
                network_input,
                lambda tile: self._compute(restorer, tile, stop),
                shape,
                tile=restorer.tile,
                overlap=restorer.overlap,
                send=send if large else None,
                helpers=self._helpers,
            )

        try:
            return await self._with(version, lambda own: answer(own, data, asked, self._limits, run))
        finally:
            stop.set()

    async def keys(self, version: Version, data: bytes, asked: AskedPixel) -> KeysOfPixel | Refused:
        """The keys that a pixel of a picture attends to."""

        def find(restorer: Restorer) -> KeysOfPixel | Refused:
            with self._computing:
                return keys_of_pixel(restorer, data, asked, self._limits)

        return await self._with(version, find)

    async def tile(self, version: Version, tile: torch.Tensor, k: int | None) -> torch.Tensor | None:
        """A tile of another replica's picture; None from a replica that does not hold that version."""
        restorer = self._loaded.if_held(version)
        if restorer is None:
            return None
        own = restorer.with_options(k=k)
        stop = threading.Event()
        try:
            return await self._in_thread(lambda: self._compute(own, tile, stop).cpu())
        finally:
            stop.set()

    async def _with(self, version: Version, use: Callable[[Restorer], Any]) -> Any:
        def work() -> Any:
            try:
                restorer = self._loaded.get(version)
            except (AlteredModelError, UserError, OSError) as error:
                return Refused(503, one_line(f"{version.address} cannot be had on this replica: {first_line(error)}"))
            return use(restorer)

        return await self._in_thread(work)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _compute(self, restorer: Restorer, tile: torch.Tensor, stop: threading.Event) -> torch.Tensor:
        with self._computing, torch.inference_mode():
            if stop.is_set():
                raise RefusedError(504, "nobody waits for this picture any more")
            return restorer.model(tile.to(next(restorer.model.parameters()).device), k=restorer.k)

    async def _ask(self, version: Version, tile: torch.Tensor, k: int | None) -> torch.Tensor | None:
        from ray import serve

        here = serve.get_replica_context()
        handle = serve.get_deployment_handle(here.deployment, here.app_name)
        response = handle.tile.remote(version, tile.contiguous().clone(), k)
        try:
            return await asyncio.wait_for(asyncio.shield(_awaited(response)), TILE_WAIT_S)
        except (TimeoutError, asyncio.CancelledError):
            response.cancel()
            return None


async def _awaited(response: Any) -> Any:
    return await response
