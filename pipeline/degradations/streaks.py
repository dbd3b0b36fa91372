"""Falling particles photographed for a while: sparse random dots, each drawn out to a short soft stroke.

The usual synthesis of rain and snow layers: sparse noise convolved with an oriented motion kernel (streak layers of W.
Yang et al., "Deep joint rain detection and removal from a single image", CVPR 2017; falling speed and exposure as
streak length after K. Garg, S. K. Nayar, "Photorealistic rendering of rain streaks", SIGGRAPH 2006).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

_CHUNK = 1_000_000  # stroke pixels held at a time


def stroke_kernel(length: float, width: float, angle: float) -> npt.NDArray[np.float32]:
    """Soft line with peak 1: ``length`` and ``width`` in pixels, ``angle`` in radians from the vertical, clockwise.

    A Gaussian profile of standard deviation width/2 around the segment, cut at two standard deviations.
    """
    radius = math.ceil(0.5 * length + width)
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    along = rows * math.cos(angle) + columns * math.sin(angle)
    across = columns * math.cos(angle) - rows * math.sin(angle)
    beyond = np.maximum(np.abs(along) - 0.5 * length, 0.0)
    distance = (beyond**2 + across**2) / (0.5 * width) ** 2
    kernel: npt.NDArray[np.float32] = np.where(distance <= 4.0, np.exp(-0.5 * distance), 0.0)
    return kernel


def particle_layer(
    rng: Generator, height: int, width: int, density: float, kernel: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """(H, W, 1) in [0, 1]: ``density`` particles per pixel, each of a random strength in [0.3, 1], as ``kernel``.

    Particles outside the image reach in, so the layer is as dense at its edges as in the middle.
    """
    radius = kernel.shape[0] // 2
    rows, columns = height + 4 * radius, width + 4 * radius  # room for the strokes of particles just outside
    count = int(rng.poisson(density * (height + 2 * radius) * (width + 2 * radius)))
    row = rng.integers(radius, rows - radius, count)
    column = rng.integers(radius, columns - radius, count)
    strength = rng.uniform(0.3, 1.0, count)
    # Few particles with few pixels each: adding their strokes beats a convolution of the whole layer.
    down, across = np.nonzero(kernel)
    stroke, offset = kernel[down, across], (down - radius) * columns + across - radius
    added = np.zeros(rows * columns)
    start = row * columns + column
    chunk = max(1, _CHUNK // max(1, offset.size))
    for first in range(0, count, chunk):
        some = slice(first, first + chunk)
        np.add.at(added, start[some, None] + offset, strength[some, None] * stroke)
    layer = added.reshape(rows, columns)[2 * radius : rows - 2 * radius, 2 * radius : columns - 2 * radius]
    return np.clip(layer, 0.0, 1.0)[:, :, None].astype(np.float32)
