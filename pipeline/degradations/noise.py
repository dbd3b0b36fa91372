"""Additive white Gaussian noise."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Range, draw


def gaussian_noise(image: Image, rng: Generator, sigma: Range) -> Image:
    """Add independent N(0, s²) to every value, s drawn once per image from ``sigma`` (8-bit gray levels,
    0..255).

    Neither clipped nor rounded, as the denoising benchmarks have it: the result may leave [0, 1].
    """
    check_image(image)
    level = np.float32(draw(rng, sigma) / 255.0)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= level
    noise += image
    return noise
