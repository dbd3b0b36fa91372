"""Softness: what a lens, a slightly missed focus, or an interpolation leaves."""

from __future__ import annotations

import math
from typing import Annotated

from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Range, draw
from pipeline.settings.ranges import number_range

Softness = Annotated[Range, number_range(0, 10, "pixels, standard deviation of the blur")]
TRUNCATE = 4.0  # standard deviations of the kernel, scipy's own default


def soften(image: Image, rng: Generator, sigma: Range) -> Image:
    """Gaussian blur whose standard deviation is drawn from ``sigma``, in pixels; 0 changes nothing. Not rounded."""
    check_image(image)
    drawn = draw(rng, sigma)
    return gaussian_filter(image, sigma=(drawn, drawn, 0), mode="mirror", truncate=TRUNCATE)


def soft_reach(sigma: Range) -> int:
    """Pixels from which light may come."""
    return math.ceil(TRUNCATE * sigma[1])
