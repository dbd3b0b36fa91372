"""From the bytes of a file to the bytes of the restored one: what ``semanir restore`` does, for one request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipeline.images.levels import TooManyPixelsError
from pipeline.memory import as_memory_error
from pipeline.restoring.convert import as_format
from pipeline.restoring.fitness import misgivings
from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import check_fits, encode, left_out
from pipeline.serving.service.asked import Asked
from pipeline.serving.service.refusal import EXPECTED, Refused, RefusedError, refused_for
from pipeline.serving.service.settings import MAX_WHOLE, Limits

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "TIFF": "image/tiff", "WEBP": "image/webp"}
Run = Callable[[Restorer, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A restored file. headers: what was done to it, as ``SemanIR-…``; seconds: from decoding to encoding."""

    content: bytes
    media_type: str
    headers: dict[str, str]
    seconds: float


def answer(restorer: Restorer, data: bytes, asked: Asked, limits: Limits, run: Run) -> Answer | Refused:
    """Restore the file ``data``; what cannot be is a ``Refused`` (4xx), never an exception.

    restorer: the loaded model; k, tile and strength are those of ``asked``. run: the network over a whole input.
    """
    started = time.perf_counter()
    try:
        own = restorer.with_options(k=asked.k, tile=asked.tile, strength=asked.strength, as_mosaic=asked.as_mosaic)
        picture = read_picture(data, limits.max_pixels)
        height, width = picture.pixels.shape[:2]
        scale = own.config.upscale
        if height * width * scale**2 > limits.max_pixels:
            raise TooManyPixelsError(
                f"its result of {width * scale}x{height * scale} is more than {limits.max_pixels:,} pixels; send fewer"
            )
        if own.tile == 0 and height * width > MAX_WHOLE:
            raise RefusedError(
                413,
                f"tile=0 takes a picture whole, and {width}x{height} is more than {MAX_WHOLE:,} pixels; leave it out",
            )
        target = picture if asked.file_format is None else as_format(picture, asked.file_format)
        check_fits(target, scale)
        with as_memory_error():
            prepared = own.prepare(target)
            restored = own.finish(prepared, run(own, prepared.network_input))
        content = encode(restored)
    except EXPECTED as error:
        return refused_for(error)
    notes = (*left_out(target, scale), *misgivings(picture, own.bounds))
    seconds = time.perf_counter() - started
    return Answer(
        content=content,
        media_type=MEDIA_TYPES[restored.file_format],
        headers={
            "SemanIR-K": str(own.k or own.config.k),
            "SemanIR-Strength": f"{own.strength:g}",
            "SemanIR-Tile": str(own.tile),
            "SemanIR-Seconds": f"{seconds:.3f}",
            # A list, as JSON, since header values are ASCII.
            **({"SemanIR-Notes": json.dumps(notes)} if notes else {}),
        },
        seconds=seconds,
    )
