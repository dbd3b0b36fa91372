"""Bodies on their way in take no place in the queue, and hold no more than they may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.serving.service import arrival
from pipeline.serving.service.arrival import Arrivals
from pipeline.serving.service.refusal import Refused, RefusedError
from pipeline.serving.service.settings import Limits
from tests.pipeline.serving.service.asgi import ask
from tests.pipeline.serving.service.conftest import LIMITS, picture

GOOD = "/v1/restore/tiny"


async def drop(*pieces: bytes, then: asyncio.Event | None = None, every: float = 0.0) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(every)
    if then is not None:
        await then.wait()


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def refused(coroutine: Any) -> Refused:
    with pytest.raises(RefusedError) as error:
        asyncio.run(coroutine)
    return error.value.refused


async def receive(arrivals: Arrivals, chunks: AsyncIterator[bytes], **headers: str) -> int:
    async with arrivals.body(chunks, {name.replace("_", "-"): value for name, value in headers.items()}) as data:
        assert arrivals.held >= len(data)
        return len(data)


def test_who_sends_takes_no_place_in_the_queue(make) -> None:
    app, desk = make()

    async def run() -> tuple[int, list[int]]:
        rest = asyncio.Event()
        bodies = [drop(picture(), then=rest) for _ in range(3 * LIMITS.queue)]
        senders = [asyncio.create_task(ask(app, "POST", GOOD, body)) for body in bodies]
        await turns()
        other = await ask(app, "POST", GOOD, picture())
        desk.hold = asyncio.Event()
        rest.set()
        await turns()
        assert desk.entered == 1 + LIMITS.queue  # the others are told to come again, although they sent all
        desk.hold.set()
        return other.status, [reply.status for reply in await asyncio.gather(*senders)]

    other, senders = asyncio.run(run())
    assert other == 200
    assert sorted(senders) == [200] * LIMITS.queue + [429] * 2 * LIMITS.queue


def test_all_bodies_together_hold_no_more_than_they_may(make) -> None:
    app, desk = make(limits=Limits(max_bytes=1500, held_bytes=3000, seconds=20.0))
    data = picture()
    assert 1000 < len(data) < 1500

    async def run() -> None:
        desk.hold = asyncio.Event()
        inside = [asyncio.create_task(ask(app, "POST", GOOD, data)) for _ in range(2)]  # at work: their bytes stay
        await turns()
        desk.versions["gone"] = desk.versions["tiny"]
        for headers, taken in (({}, 1), ({"content-length": str(len(data))}, 0)):  # what is stated is refused unread
            full = await ask(app, "POST", "/v1/restore/gone", data, headers)
            assert (full.status, full.headers["retry-after"], full.taken) == (503, "10", taken)
            assert f"{2 * len(data):,} bytes of pictures are inside, and no more than 3,000 may be" in full.error
        desk.hold.set()
        assert [reply.status for reply in await asyncio.gather(*inside)] == [200, 200]
        assert (await ask(app, "POST", "/v1/restore/gone", data)).status == 200
        assert "semanir_serve_held_bytes 0.0" in (await ask(app, "GET", "/metrics")).body.decode()

    asyncio.run(run())


def test_a_body_that_pauses_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "IDLE_SECONDS", 0.05)
    arrivals = Arrivals(Limits())

    async def paused() -> int:
        return await receive(arrivals, drop(b"x", then=asyncio.Event()))

    said = refused(paused())
    assert (said.status, said.headers) == (408, {"Retry-After": "10"})
    assert "nothing of the body came for 0.05 seconds" in said.line
    assert (arrivals.arriving, arrivals.held) == (0, 0)


def test_a_body_that_never_pauses_and_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "BODY_SECONDS", 0.05)
    arrivals = Arrivals(Limits())
    said = refused(receive(arrivals, drop(*[b"x"] * 100_000, every=0.001)))
    assert (said.status, said.headers) == (408, {"Retry-After": "10"})
    assert "longer than 0.05 seconds" in said.line
    assert (arrivals.arriving, arrivals.held) == (0, 0)


def test_no_more_bodies_arrive_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "MOST_ARRIVING", 2)
    arrivals = Arrivals(Limits())

    async def run() -> tuple[Refused, list[int]]:
        rest = asyncio.Event()
        tasks = [asyncio.create_task(receive(arrivals, drop(b"abc", then=rest))) for _ in range(2)]
        await turns()
        with pytest.raises(RefusedError) as error:
            await receive(arrivals, drop(b"abc"))
        rest.set()
        return error.value.refused, await asyncio.gather(*tasks)

    said, lengths = asyncio.run(run())
    assert (said.status, said.headers) == (503, {"Retry-After": "10"})
    assert "2 bodies are arriving" in said.line
    assert lengths == [3, 3]
    assert asyncio.run(receive(arrivals, drop(b"abcd"))) == 4
