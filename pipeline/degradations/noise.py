"""Additive white Gaussian noise."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.quantize import from_uint8
from pipeline.degradations.ranges import Range, draw


def gaussian_noise(image: Image, rng: Generator, sigma: Range) -> Image:
    """Add independent N(0, s²) to every value, s drawn once per image from ``sigma`` (8-bit gray levels, 0..255).

    Neither clipped nor rounded, as the denoising benchmarks have it: the result may leave [0, 1].
    """
    check_image(image)
    level = np.float32(draw(rng, sigma) / 255.0)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= level
    noise += image
    return noise


def clipped_and_truncated(noisy: Image) -> Image:
    """A noisy image as the all-in-one papers feed it: clipped to 0..255, then truncated to 8 bits.

    PromptIR (Potlapalli et al., NeurIPS 2023) and those after it write ``np.clip(noisy, 0, 255).astype(np.uint8)``,
    which cuts the decimals off. At a standard deviation of 25 it reads about 0.4 dB below noise that is left alone:
    figures of the two conventions never belong in one table.
    """
    levels = np.multiply(noisy, np.float32(255.0), dtype=np.float32)
    return from_uint8(np.clip(levels, 0.0, 255.0, out=levels).astype(np.uint8))
