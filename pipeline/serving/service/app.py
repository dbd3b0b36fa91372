"""The HTTP face: routes, statuses and headers, over whoever does the work (``Desk``). Knows no Ray."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.service.access import refusal
from pipeline.serving.service.admission import Admission
from pipeline.serving.service.answer import Answer
from pipeline.serving.service.arrival import Arrivals
from pipeline.serving.service.asked import Asked, AskedPixel, parse_asked, parse_pixel
from pipeline.serving.service.inside import Inside
from pipeline.serving.service.keys import KeysOfPixel
from pipeline.serving.service.page_files import page_files
from pipeline.serving.service.prometheus import CONTENT_TYPE, Figures
from pipeline.serving.service.refusal import LATER, Refused, RefusedError
from pipeline.serving.service.settings import ServeSettings
from pipeline.serving.service.versions import Version

GONE = 499  # the client left; nobody reads it, and the figures call it as nginx does
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class Desk(Protocol):
    """Who does the work."""

    def version(self, name: str) -> Version | None:
        """What serves under a name now; None while nothing can."""

    async def restore(self, name: str, version: Version, data: bytes, asked: Asked) -> Answer | Refused:
        """Restore a file with that version."""

    async def keys(self, name: str, version: Version, data: bytes, asked: AskedPixel) -> KeysOfPixel | Refused:
        """What a pixel attends to."""

    async def models(self) -> list[dict[str, Any]]:
        """What ``GET /v1/models`` says of each."""


class Face:
    """The routes of one service."""

    def __init__(self, settings: ServeSettings, desk: Desk) -> None:
        self._settings, self._desk = settings, desk
        self._admissions = {name: Admission(settings.limits.queue) for name in settings.models}
        self._arrivals = Arrivals(settings.limits)
        self._figures = Figures(self._arrivals)
        for name, admission in self._admissions.items():
            self._figures.watch(name, partial(getattr, admission, "inside"))
        self._inside = Inside(self._routes(), refused_response(_STOPPING))

    def app(self) -> ASGIApp:
        """To be called by a server."""
        return _Guarded(self._inside, self._settings)

    def shut(self) -> int:
        """Refuse every request from now on (503); returns how many that came before are not answered to the end."""
        return self._inside.shut()

    def _routes(self) -> ASGIApp:
        files = page_files()
        pages = [Route(path, _file(*file)) for path, file in files.items()]
        routes = [
            Route("/v1/restore/{name}", self._restore, methods=["POST"]),
            Route("/v1/keys/{name}", self._keys, methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
            *pages,
        ]
        handlers: Mapping[Any, Any] = {RefusedError: _said, HTTPException: _not_there}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False  # who does not follow takes a redirect's empty body for the picture
        return app

    async def _restore(self, request: Request) -> Response:
        asked = parse_asked(request.query_params.multi_items())

        async def work(name: str, version: Version, data: bytes) -> Response:
            done = await self._desk.restore(name, version, data, asked)
            if isinstance(done, Refused):
                return refused_response(done)
            self._admissions[name].took(done.seconds)
            return Response(done.content, media_type=done.media_type, headers=done.headers)

        return await self._with_picture(request, work)

    async def _keys(self, request: Request) -> Response:
        asked = parse_pixel(request.query_params.multi_items())

        async def work(name: str, version: Version, data: bytes) -> Response:
            done = await self._desk.keys(name, version, data, asked)
            return refused_response(done) if isinstance(done, Refused) else JSONResponse(done.plain())

        return await self._with_picture(request, work)

    async def _with_picture(
        self, request: Request, work: Callable[[str, Version, bytes], Awaitable[Response]]
    ) -> Response:
        name = request.path_params["name"]
        if name not in self._admissions:
            raise RefusedError(404, f"no model {name[:80]!r} here; there are: {', '.join(self._admissions)}")
        started, status = time.perf_counter(), 500
        try:
            self._admissions[name].check()
            self._serving(name)
            async with self._arrivals.body(request.stream(), request.headers) as data:
                with self._admissions[name].enter():
                    version = self._serving(name)
                    response = await self._within(work(name, version, data))
                response.headers.update({
                    "SemanIR-Task": name,
                    "SemanIR-Model": _for_header(version.address),
                    "SemanIR-Version": version.label,
                })  # fmt: skip
            status = response.status_code
            return response
        except RefusedError as error:
            status = error.refused.status
            raise
        except ClientDisconnect:
            status = GONE
            return Response(status_code=status)
        except asyncio.CancelledError:
            status = GONE
            raise
        finally:
            self._figures.count(name, status, time.perf_counter() - started)

    def _serving(self, name: str) -> Version:
        version = self._desk.version(name)
        if version is None:
            raise RefusedError(503, f"{name} has no version that can serve now; see /v1/models", LATER)
        return version

    async def _within(self, work: Awaitable[Response]) -> Response:
        limit = self._settings.limits.seconds
        try:
            return await asyncio.wait_for(work, limit)
        except TimeoutError:
            line = f"not restored within {limit:g} seconds; send a smaller picture, or come again later"
            raise RefusedError(504, line, LATER) from None

    async def _models(self, request: Request) -> Response:
        del request
        limits = self._settings.limits.model_dump()
        return JSONResponse({"models": await self._desk.models(), "limits": limits})

    async def _health(self, request: Request) -> Response:
        del request
        serving = all(self._desk.version(name) is not None for name in self._admissions)
        return JSONResponse({"status": "ok" if serving else "degraded"}, 200 if serving else 503)

    async def _metrics(self, request: Request) -> Response:
        del request
        return Response(self._figures.text(), media_type=CONTENT_TYPE)


_STOPPING = Refused(503, "this service is stopping; come again", LATER)


def _for_header(text: str) -> str:
    """A model's folder may have any name, and a header holds ASCII: the rest as in URLs."""
    return "".join(c if c.isascii() and c.isprintable() else quote(c, errors="surrogateescape") for c in text)


def refused_response(refused: Refused) -> Response:
    """One line of JSON."""
    line = json.dumps({"error": refused.line}, ensure_ascii=False) + "\n"
    return Response(line, refused.status, media_type="application/json", headers=refused.headers)


async def _said(request: Request, error: RefusedError) -> Response:
    del request
    return refused_response(error.refused)


async def _not_there(request: Request, error: HTTPException) -> Response:
    line = f"{request.method} {request.url.path}: {error.detail}; see /v1/models, and POST /v1/restore/NAME"
    return refused_response(RefusedError(error.status_code, line, dict(error.headers or {})).refused)


def _file(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        del request
        return Response(content, media_type=media_type)

    return send


class _Guarded:
    """Lets in whom ``access.refusal`` has nothing against, and gives every answer the headers that guard browsers."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app, self._host, self._token = app, settings.host, settings.token_sha256

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in _ALWAYS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = refusal(scope["method"], scope["path"], headers, self._host, self._token)
        app = self._app if refused is None else refused_response(refused)
        await app(scope, receive, send_guarded)
