"""Blur kernels of hand-held exposures: a random camera trajectory, rasterized.

Source: G. Boracchi and A. Foi, "Modeling the performance of image restoration from motion blur", IEEE Trans.
Image Processing 21(8), 2012, and its published trajectory generator; DeblurGAN (Kupyn et al., CVPR 2018)
trains on the same. A particle moves at constant speed; its direction is disturbed by a Gaussian tremor, by a
pull back to where it started and, rarely, by a jerk that turns it round. The generator takes 2,000 steps of a
Python loop; ours takes ``_STEPS``, each term rescaled to keep its effect over the whole exposure.
"""

from __future__ import annotations

import cmath
import math

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from pipeline.degradations.ranges import Range, draw

Kernel = npt.NDArray[np.float32]

_STEPS = 256
_SOURCE_STEPS = 2000  # the step count for which the source states the three strengths below
_ANXIETY = 0.005
_MAX_TREMOR = 10.0
_MAX_PULL = 0.7
_MAX_JERKS = 0.2


def random_trajectory(rng: Generator, length: float) -> npt.NDArray[np.complex128]:
    """Positions (column + i·row) of a shaken camera during one exposure, on a path of ``length`` pixels."""
    pull = _MAX_PULL * rng.random() * _ANXIETY * _SOURCE_STEPS / _STEPS
    tremor = _MAX_TREMOR * rng.random() * _ANXIETY * math.sqrt(_SOURCE_STEPS / _STEPS)
    jerk_probability = _MAX_JERKS * rng.random() * _ANXIETY * _SOURCE_STEPS / _STEPS
    direction = cmath.exp(2j * math.pi * rng.random())
    jerks = (rng.random(_STEPS) < jerk_probability).tolist()
    turns = np.exp(1j * (math.pi + rng.random(_STEPS) - 0.5)).tolist()
    shakes = (tremor * (rng.standard_normal(_STEPS) + 1j * rng.standard_normal(_STEPS))).tolist()
    step = length / _STEPS
    position = 0j
    positions = [position]
    for jerk, turn, shake in zip(jerks, turns, shakes, strict=True):
        change = shake - pull * position
        if jerk:
            change += 2.0 * direction * turn
        direction += change
        direction /= abs(direction)
        position += step * direction
        positions.append(position)
    return np.array(positions)


def rasterize(trajectory: npt.NDArray[np.complex128], max_size: int) -> Kernel:
    """Kernel (n, n), n odd and at most ``max_size``, summing to 1, its center of mass on the center pixel.

    Each position spreads its time bilinearly over four pixels. A trajectory that leaves ``max_size`` is scaled down.
    """
    if max_size < 3 or max_size % 2 == 0:
        raise ValueError(f"max_size is {max_size}; a kernel needs an odd size of at least 3")
    centered = trajectory - trajectory.mean()
    extent = max(np.abs(centered.real).max(), np.abs(centered.imag).max())
    limit = max_size // 2 - 0.001  # so that the pixel after the farthest position still exists
    if extent > limit:
        centered *= limit / extent
        extent = limit
    radius = math.floor(extent) + 1
    size = 2 * radius + 1
    column, row = centered.real + radius, centered.imag + radius
    left, top = np.floor(column).astype(np.intp), np.floor(row).astype(np.intp)
    right_share, bottom_share = column - left, row - top
    kernel = np.zeros(size * size)
    for down, row_share in ((0, 1.0 - bottom_share), (1, bottom_share)):
        for across, column_share in ((0, 1.0 - right_share), (1, right_share)):
            index = (top + down) * size + left + across
            kernel += np.bincount(index, row_share * column_share, minlength=size * size)
    return (kernel / kernel.sum()).reshape(size, size).astype(np.float32)


def random_motion_kernel(rng: Generator, length: Range, max_size: int) -> Kernel:
    """Kernel of one random exposure; the path length in pixels is drawn from ``length``."""
    return rasterize(random_trajectory(rng, draw(rng, length)), max_size)
