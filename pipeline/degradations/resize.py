"""Bicubic shrinking and enlarging as MATLAB's ``imresize``, through the project's one implementation."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.quantize import quantize
from semanir.resize import imresize


def resize(image: Image, height: int, width: int) -> Image:
    """(H, W, C) to (height, width, C): antialiased cubic, a = -0.5. Neither clipped nor rounded."""
    check_image(image)
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    resized = imresize(planes, height, width).numpy()
    return np.ascontiguousarray(resized.transpose(1, 2, 0))


def bicubic_down(image: Image, scale: int) -> Image:
    """Shrink by an integer factor and round to 8 bits, as the super-resolution benchmarks save their input.

    Raises ValueError when a side is not a multiple of ``scale``.
    """
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise ValueError(f"image of {height}x{width} is not a multiple of the scale {scale}; crop it first")
    return quantize(resize(image, height // scale, width // scale))


def bicubic_up(image: Image, scale: int) -> Image:
    """Enlarge by an integer factor and round to 8 bits: the classical baseline of super-resolution."""
    height, width = image.shape[:2]
    return quantize(resize(image, height * scale, width * scale))
