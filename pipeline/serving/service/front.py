"""The Ray Serve ingress: one HTTP face in front of a deployment per model, and the one that follows the aliases."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import UserError, first_line
from pipeline.registry import AlteredModelError
from pipeline.serving.service.answer import Answer
from pipeline.serving.service.app import Face
from pipeline.serving.service.asked import Asked, AskedPixel
from pipeline.serving.service.follow import Follower
from pipeline.serving.service.keys import KeysOfPixel
from pipeline.serving.service.offered_models import describe
from pipeline.serving.service.refusal import LATER, Refused, RefusedError, busy, one_line
from pipeline.serving.service.replica import Vetted
from pipeline.serving.service.settings import ServeSettings
from pipeline.serving.service.versions import Version, fetch, resolve

ATTEMPTS = 3  # restoring the same file again gives the same result, so a replica's death is no client's concern
_log = logging.getLogger("ray.serve")


class Front:
    """The class behind the ingress deployment."""

    def __init__(self, settings: ServeSettings, handles: dict[str, Any]) -> None:
        self._settings, self._handles = settings, handles
        self._follower = Follower(settings.models, self._vet, resolve)
        self._described: dict[str, dict[str, Any]] = {}
        self._following: asyncio.Task[None] | None = None
        self._face = Face(settings, self)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return _told_who_left(self._face.app())

    async def shut(self) -> int:
        """Refuse every request from now on; returns how many that came before are not answered to the end."""
        return self._face.shut()

    async def check_health(self) -> None:
        """Ray calls it from the beginning on: the first call, before any request, starts to follow the aliases."""
        if self._following is None:
            await self._follower.look()
            self._following = asyncio.create_task(self._follow())
        if self._following.done():
            self._following.result()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._settings.follow_every_s)
            for name in await self._follower.look():
                _log.info("%s is now served by %s", name, self._follower.current[name].address)

    def version(self, name: str) -> Version | None:
        return self._follower.current.get(name)

    async def restore(self, name: str, version: Version, data: bytes, asked: Asked) -> Answer | Refused:
        return await self._call(name, "restore", version, data, asked)

    async def keys(self, name: str, version: Version, data: bytes, asked: AskedPixel) -> KeysOfPixel | Refused:
        return await self._call(name, "keys", version, data, asked)

    async def models(self) -> list[dict[str, Any]]:
        return [await self._entry(name) for name in self._settings.models]

    async def _entry(self, name: str) -> dict[str, Any]:
        version = self.version(name)
        entry = {"name": name, "problem": self._follower.problems.get(name, "")}
        if version is None:
            return entry
        if self._described.get(name, {}).get("model") != version.address:
            try:
                self._described[name] = await asyncio.to_thread(lambda: describe(version, fetch(version)))
            except (UserError, AlteredModelError, OSError) as error:
                return {**entry, "model": version.address, "problem": one_line(first_line(error))}
        return {**entry, **self._described[name]}

    async def _vet(self, name: str, version: Version) -> Vetted:
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        try:
            vetted: Vetted = await self._handles[name].vet.remote(version)
        except (RayError, RayServeException) as error:
            return Vetted(one_line(f"no replica answers ({first_line(error)})"), None)
        return vetted

    async def _call(self, name: str, method: str, *arguments: Any) -> Any:
        """What a replica answers; a replica that dies of it, or cannot have the version, is replaced by another."""
        from ray.exceptions import RayActorError, RayError, TaskCancelledError
        from ray.serve.exceptions import BackPressureError, RayServeException

        last: Any = Refused(503, f"no replica of {name} answers; come again", LATER)
        for _ in range(ATTEMPTS):
            response = getattr(self._handles[name], method).remote(*arguments)
            try:
                answer = await response
            except asyncio.CancelledError:
                response.cancel()
                raise
            except TaskCancelledError:  # Ray ends what nobody waits for, sometimes before it ends this task
                raise ClientDisconnect from None
            except BackPressureError:
                raise busy(self._settings.limits.queue, 1.0) from None
            except (RayActorError, RayServeException) as error:
                _log.warning("a replica of %s is gone: %s", name, first_line(error))
                continue
            except RayError as error:
                _log.error("%s: %s", name, error)
                raise RefusedError(500, f"{name} failed on this picture, which the service's log explains") from None
            if not (isinstance(answer, Refused) and answer.status == 503):
                return answer
            last = answer
        return last


def _told_who_left(app: ASGIApp) -> ASGIApp:
    """The application, told of a client that left in the way of every server: by a message, and again when asked again.

    Ray's proxy, which a body is fetched from, may cancel the fetch first, or be gone itself; either raises once, and no
    message comes after it.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        from ray.exceptions import RayError

        left: Message = {}

        async def receive_or_left() -> Message:
            nonlocal left
            if not left:
                try:
                    return await receive()
                except RayError:
                    left = {"type": "http.disconnect"}
            return left

        await app(scope, receive_or_left, send)

    return application
