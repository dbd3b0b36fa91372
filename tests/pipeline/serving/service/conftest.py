"""A service in this process over a tiny model, and pictures to send it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.registry.pull import Located
from pipeline.restoring.restorer import Restorer
from pipeline.serving.service.answer import Answer, answer
from pipeline.serving.service.app import Face
from pipeline.serving.service.asked import Asked, AskedPixel
from pipeline.serving.service.keys import KeysOfPixel, keys_of_pixel
from pipeline.serving.service.refusal import Refused
from pipeline.serving.service.settings import Limits, ServeSettings
from pipeline.serving.service.versions import Version

TOKEN = "correct horse battery staple"
LIMITS = Limits(max_bytes=20_000, max_pixels=5_000, seconds=20.0, queue=2)


def picture(kind: str = "PNG", side: int = 20, mode: str = "RGB", seed: int = 0, **options: Any) -> bytes:
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    levels = np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8).squeeze()
    file = BytesIO()
    Image.fromarray(levels).save(file, kind, **options)
    return file.getvalue()


@dataclass
class Here:
    """A desk of this process. hold: makes work wait until it is set, for tests of what happens meanwhile."""

    restorer: Restorer
    limits: Limits
    hold: asyncio.Event | None = None
    entered: int = 0
    versions: dict[str, Version | None] = field(default_factory=dict)

    def version(self, name: str) -> Version | None:
        return self.versions[name]

    async def restore(self, name: str, version: Version, data: bytes, asked: Asked) -> Answer | Refused:
        self.entered += 1
        if self.hold is not None:
            await self.hold.wait()
        return answer(self.restorer, data, asked, self.limits, lambda own, network_input: own.run(network_input))

    async def keys(self, name: str, version: Version, data: bytes, asked: AskedPixel) -> KeysOfPixel | Refused:
        return keys_of_pixel(self.restorer, data, asked, self.limits)

    async def models(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.versions]


@pytest.fixture(scope="session")
def restorer(tiny_model: Path) -> Restorer:
    return Restorer(tiny_model, device="cpu")


@pytest.fixture
def make(restorer: Restorer) -> Callable[..., tuple[Any, Here]]:
    """Makes an application and the desk behind it."""

    def build(token: str | None = None, limits: Limits = LIMITS, **values: Any) -> tuple[Any, Here]:
        digest = None if token is None else hashlib.sha256(token.encode()).hexdigest()
        settings = ServeSettings(models={"tiny": "x", "gone": "x"}, limits=limits, token_sha256=digest, **values)
        desk = Here(
            restorer,
            limits,
            versions={"tiny": Version("models:/tiny/3", "ab" * 32, Located("m-1", "tiny", 3)), "gone": None},
        )
        return Face(settings, desk).app(), desk

    return build


@pytest.fixture
def face(restorer: Restorer) -> Face:
    """An application that can be shut."""
    desk = Here(restorer, LIMITS, versions={"tiny": Version("models:/tiny/3", "ab" * 32)})
    return Face(ServeSettings(models={"tiny": "x"}, limits=LIMITS), desk)
