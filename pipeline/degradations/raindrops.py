"""Raindrops on the lens: each shows a shrunken, upside-down, blurred view of the scene.

R. Qian et al., "Attentive generative adversarial network for raindrop removal from a single image", CVPR
2018: observed = (1 - M) · scene + R, M the mask of the drops, R the light they refract. Refraction as a
flipped, demagnified scene: M. Roser, A. Geiger, "Video-based raindrop detection for improved image
registration", ICCV Workshops 2009.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Range, Share, draw
from pipeline.settings.base import Settings
from pipeline.settings.ranges import number_range

_HARMONICS = 3  # lobes of a drop's outline


class Raindrops(Settings):
    """Ranges from which each image's drops are drawn.

    coverage: sum of the drops' areas over the image's area; blur: standard deviation of what is seen through a drop;
    brightness: gain of that light.
    """

    coverage: Share = (0.03, 0.25)
    radius: Annotated[Range, number_range(1, 200, "pixels")] = (4.0, 16.0)
    magnification: Annotated[Range, number_range(1, 20, "scene pixels per drop pixel")] = (2.0, 6.0)
    blur: Annotated[Range, number_range(0, 20, "pixels")] = (0.5, 2.0)
    brightness: Annotated[Range, number_range(0, 2, "gain")] = (0.85, 1.15)


def raindrops(image: Image, rng: Generator, settings: Raindrops) -> Image:
    """Drops at random places on the lens until their areas reach the drawn coverage. Clipped to [0, 1]."""
    check_image(image)
    height, width = image.shape[:2]
    wanted = draw(rng, settings.coverage) * height * width
    sigma = draw(rng, settings.blur)
    blurred = gaussian_filter(image, (sigma, sigma, 0.0), mode="reflect", truncate=2.5)
    spoiled = image.copy()
    covered = 0.0
    while covered < wanted:
        radius = draw(rng, settings.radius)
        _add_drop(spoiled, blurred, rng, radius, settings)
        covered += math.pi * radius**2
    return np.clip(spoiled, 0.0, 1.0, out=spoiled)


def _add_drop(spoiled: Image, blurred: Image, rng: Generator, radius: float, settings: Raindrops) -> None:
    """Draw one drop into ``spoiled``; only the pixels of its bounding box are touched."""
    height, width = spoiled.shape[:2]
    row, column = rng.random() * height, rng.random() * width
    magnification = draw(rng, settings.magnification)
    gain = np.float32(draw(rng, settings.brightness))
    reach = 1.5 * radius
    top, bottom = max(0, math.floor(row - reach)), min(height, math.ceil(row + reach) + 1)
    left, right = max(0, math.floor(column - reach)), min(width, math.ceil(column + reach) + 1)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(row)
    columns = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(column)
    mask = _drop_mask(rng, rows, columns, radius)
    # Each axis is flipped and shrunk on its own: one index per row and one per column make the view.
    seen_rows = _mirrored(row - magnification * rows[:, 0], height)
    seen_columns = _mirrored(column - magnification * columns[0], width)
    view = blurred[np.ix_(seen_rows, seen_columns)]
    box = spoiled[top:bottom, left:right]
    box += mask[:, :, None] * (gain * view - box)


def _mirrored(position: npt.NDArray[np.floating], size: int) -> npt.NDArray[np.intp]:
    """Nearest pixel of each position; beyond the image it continues mirrored about its edge pixels."""
    period = max(2 * (size - 1), 1)
    index = np.abs(np.rint(position).astype(np.intp)) % period
    return np.minimum(index, period - index)


def _drop_mask(
    rng: Generator, rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32], radius: float
) -> npt.NDArray[np.float32]:
    """Opacity in [0, 1] of an irregular round drop around the origin; its rim fades over two pixels."""
    azimuth = np.arctan2(rows, columns)  # rows (n, 1), columns (1, m)
    outline = np.ones_like(azimuth)
    for order in range(1, _HARMONICS + 1):
        amplitude, phase = 0.15 * rng.random() / order, 2.0 * math.pi * rng.random()
        outline += np.float32(amplitude) * np.cos(order * azimuth + np.float32(phase))
    inside = radius * outline - np.hypot(rows, columns)
    return np.clip(0.5 + 0.5 * inside, 0.0, 1.0).astype(np.float32)
