"""Whether a picture is one that the model was made for: said in a line where it is not."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.estimation.fit import misfits
from pipeline.estimation.noise import estimate_noise
from pipeline.restoring.picture import Picture, Pixels

LOOKED_AT = 1024  # pixels of a side: enough to tell noise by, a fraction of a second for a picture of any size


def misgivings(picture: Picture, bounds: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """What of the picture lies outside ``bounds`` (see ``pipeline.estimation.fit.misfits``), for a person to read.

    Noise is estimated from the middle of the picture, and only for a model whose range of noise is known.
    """
    sigma = estimate_noise(_middle(picture.pixels)) if "sigma" in bounds else None
    return tuple(f"may not help: {line}" for line in misfits(bounds, sigma=sigma, quality=picture.jpeg_quality))


def _middle(pixels: Pixels) -> Pixels:
    top, left = (max(0, (side - LOOKED_AT) // 2) for side in pixels.shape[:2])
    return pixels[top : top + LOOKED_AT, left : left + LOOKED_AT]
