"""Bodies on their way in, apart from the queue of work: how many, how long, and how many bytes of all together.

Who only sends takes no place of those whose pictures are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pipeline.serving.service.body import read_body, stated_bytes
from pipeline.serving.service.refusal import LATER, RefusedError
from pipeline.serving.service.settings import BODY_SECONDS, Limits

IDLE_SECONDS = 10.0  # between two pieces of a body
MOST_ARRIVING = 1000  # each costs a connection and some kilobytes, whatever it has sent


class Arrivals:
    """Counts; for one event loop. arriving: bodies that are being sent. held: bytes of those and of pictures inside."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.arriving = self.held = 0

    @asynccontextmanager
    async def body(self, chunks: AsyncIterator[bytes], headers: Mapping[str, str]) -> AsyncGenerator[bytes]:
        """The body's file, as ``read_body`` gives it; its bytes are held while the block runs.

        Raises RefusedError as ``read_body`` does, and with Retry-After: 503 where too many bodies or bytes are inside,
        408 for a body that pauses or takes too long.
        """
        if self.arriving >= MOST_ARRIVING:
            raise RefusedError(503, f"{self.arriving} bodies are arriving, and no more can; come again", LATER)
        own = _Own()
        try:
            self.arriving += 1
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    data = await read_body(self._counted(chunks, headers, own), headers, self._limits.max_bytes)
            except TimeoutError:
                line = f"the body took longer than {BODY_SECONDS:g} seconds to arrive; send a smaller file"
                raise RefusedError(408, line, LATER) from None
            finally:
                self.arriving -= 1
            yield data
        finally:
            self.held -= own.held

    async def _counted(
        self, chunks: AsyncIterator[bytes], headers: Mapping[str, str], own: _Own
    ) -> AsyncIterator[bytes]:
        self._check(stated_bytes(headers))
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                line = f"nothing of the body came for {IDLE_SECONDS:g} seconds; send it without a pause"
                raise RefusedError(408, line, LATER) from None
            self._check(len(chunk))
            self.held += len(chunk)
            own.held += len(chunk)
            yield chunk

    def _check(self, more: int) -> None:
        if self.held + more > self._limits.held_bytes:
            line = f"{self.held:,} bytes of pictures are inside, and no more than {self._limits.held_bytes:,} may be"
            raise RefusedError(503, f"{line}; come again", LATER)


@dataclass
class _Own:
    held: int = 0
