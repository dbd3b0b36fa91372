"""Weather written a second time from its formulas, a pixel at a time and in doubles, without anything of the pipeline.

The random numbers are drawn in the pipeline's order, which is part of what a seed stands for: a data set degraded again
under the same seed must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

Array = np.ndarray
Ranges = Mapping[str, Any]


def uniform(rng: Generator, limits: tuple[float, float]) -> float:
    return limits[0] + (limits[1] - limits[0]) * rng.random()


def veiled(image: Array, rng: Generator, of: Ranges) -> tuple[Array, Array, float]:
    """Transmission (H, W) and airlight: the optical depth is 1 in the middle and 1 ± relief in two opposite corners."""
    height, width = image.shape[:2]
    mean, air, relief = (uniform(rng, of[name]) for name in ("transmission", "airlight", "relief"))
    angle = 2 * math.pi * rng.random()
    x, y = math.cos(angle), math.sin(angle)
    t = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            # From -1 to 1 over the image; a side of one pixel has its first end.
            right = 2 * column / (width - 1) - 1 if width > 1 else -1
            down = 2 * row / (height - 1) - 1 if height > 1 else -1
            t[row, column] = mean ** (1 + relief * (x * right + y * down) / (abs(x) + abs(y)))
    return image, t, air


def seen_through(scene: Array, t: Array, air: float) -> Array:
    return t[:, :, None] * scene + (1 - t[:, :, None]) * air


def stroke(length: float, width: float, angle: float) -> dict[tuple[int, int], float]:
    """Gaussian of deviation width / 2 around a segment, out to two deviations, by (row, column) from its middle."""
    far = math.ceil(length / 2 + width)
    found = {}
    for row in range(-far, far + 1):
        for column in range(-far, far + 1):
            along = row * math.cos(angle) + column * math.sin(angle)
            across = column * math.cos(angle) - row * math.sin(angle)
            beyond = max(abs(along) - length / 2, 0)
            deviations = math.hypot(beyond, across) / (width / 2)
            if deviations <= 2:
                found[row, column] = math.exp(-(deviations**2) / 2)
    return found


def particles(rng: Generator, height: int, width: int, density: float, far: int, dot: Mapping[Any, float]) -> Array:
    """Dots of strength 0.3..1 over the image and ``far`` pixels around it."""
    count = rng.poisson(density * (height + 2 * far) * (width + 2 * far))
    rows = rng.integers(-far, height + far, count)
    columns = rng.integers(-far, width + far, count)
    layer = np.zeros((height, width))
    for row, column, strength in zip(rows, columns, rng.uniform(0.3, 1, count), strict=True):
        for (down, right), value in dot.items():
            if 0 <= row + down < height and 0 <= column + right < width:
                layer[row + down, column + right] += strength * value
    return layer.clip(0, 1)[:, :, None]


def far_of(length: float, width: float) -> int:
    return math.ceil(length / 2 + width)


def haze(image: Array, rng: Generator, of: Ranges) -> Array:
    return seen_through(*veiled(image, rng, of)).clip(0, 1)


def rain(image: Array, rng: Generator, of: Ranges) -> Array:
    """Li et al. (2019): t · (scene + layers) + (1 - t) · airlight."""
    height, width = image.shape[:2]
    scene, t, air = veiled(image, rng, of)
    direction = uniform(rng, of["angle"])
    least, most = of["layers"]
    for _ in range(least + int(rng.random() * (most - least + 1))):
        length, thickness = uniform(rng, of["length"]), uniform(rng, of["width"])
        dot = stroke(length, thickness, (direction + 3 * rng.standard_normal()) * math.pi / 180)
        layer = particles(rng, height, width, uniform(rng, of["density"]), far_of(length, thickness), dot)
        scene = scene + uniform(rng, of["brightness"]) * layer
    return seen_through(scene, t, air).clip(0, 1)


def snow(image: Array, rng: Generator, of: Ranges) -> Array:
    """Liu et al. (2018): color · z + scene · (1 - z), in three sizes behind each other."""
    height, width = image.shape[:2]
    snowed = seen_through(*veiled(image, rng, of))
    density, angle = uniform(rng, of["density"]), math.radians(uniform(rng, of["angle"]))
    opacity, color = uniform(rng, of["opacity"]), uniform(rng, of["flake_brightness"])
    for diameters, path, share in (((1, 2), 0.5, 1), ((2.5, 4.5), 1, 0.3), ((5, 9), 1.5, 0.06)):
        diameter = uniform(rng, diameters)
        length = path * diameter * rng.random()
        dot = stroke(length, diameter, angle)
        z = opacity * particles(rng, height, width, density * share, far_of(length, diameter), dot)
        snowed = color * z + snowed * (1 - z)
    return snowed.clip(0, 1)


def mirrored(position: float, size: int) -> int:
    """The pixel nearest to a position, walking back and forth between the first and the last."""
    index = int(np.rint(position)) if size > 1 else 0
    while not 0 <= index < size:
        index = -index if index < 0 else 2 * (size - 1) - index
    return index


def raindrops(image: Array, rng: Generator, of: Ranges) -> Array:
    """Qian et al. (2018): (1 - M) · scene + R; a drop shows the scene flipped and shrunk about its own center."""
    height, width = image.shape[:2]
    wanted = uniform(rng, of["coverage"]) * height * width
    sigma = uniform(rng, of["blur"])
    blurred = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), truncate=2.5)
    spoiled = image.astype(np.float64)
    covered = 0.0
    while covered < wanted:
        radius = uniform(rng, of["radius"])
        at_row, at_column = rng.random() * height, rng.random() * width
        shrunk, gain = uniform(rng, of["magnification"]), uniform(rng, of["brightness"])
        waves = [(0.15 * rng.random() / order, 2 * math.pi * rng.random()) for order in (1, 2, 3)]
        for row in range(height):
            for column in range(width):
                down, right = row - at_row, column - at_column
                azimuth = math.atan2(down, right)
                rim = radius * (1 + sum(a * math.cos((n + 1) * azimuth + p) for n, (a, p) in enumerate(waves)))
                opacity = min(max(0.5 + 0.5 * (rim - math.hypot(down, right)), 0), 1)
                seen = blurred[mirrored(at_row - shrunk * down, height), mirrored(at_column - shrunk * right, width)]
                spoiled[row, column] += opacity * (gain * seen - spoiled[row, column])
        covered += math.pi * radius**2
    return spoiled.clip(0, 1)
