"""Rain streaks under a veil, as in heavy rain: the Outdoor-Rain model.

R. Li, L.-F. Cheong, R. T. Tan, "Heavy rain image restoration: integrating physics model and conditional
adversarial learning", CVPR 2019: observed = t · (scene + Σ streak layers) + (1 - t) · airlight.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.random import Generator

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import (
    Angle,
    Brightness,
    Density,
    IntRange,
    Range,
    Share,
    Transmission,
    draw,
    draw_int,
)
from pipeline.degradations.streaks import particle_layer, stroke_kernel
from pipeline.degradations.veil import add_veil, random_veil
from pipeline.settings.base import Settings
from pipeline.settings.ranges import integer_range, number_range


class Rain(Settings):
    """Ranges from which each image's rain is drawn. One transmission, one airlight, no relief: a fixed veil."""

    layers: Annotated[IntRange, integer_range(0, 8, "streak layers")] = (1, 3)
    density: Density = (0.0005, 0.003)
    length: Annotated[Range, number_range(1, 200, "pixels")] = (8.0, 32.0)
    width: Annotated[Range, number_range(0.5, 20, "pixels")] = (0.8, 1.6)
    angle: Angle = (-35.0, 35.0)
    brightness: Brightness = (0.3, 0.8)
    transmission: Transmission = (0.4, 0.95)
    airlight: Brightness = (0.6, 0.95)
    relief: Share = (0.0, 0.6)


def rain(image: Image, rng: Generator, settings: Rain) -> Image:
    """Rain of one common direction in front of ``image``, then the veil. Clipped to [0, 1], not rounded."""
    check_image(image)
    height, width = image.shape[:2]
    veil = random_veil(rng, height, width, settings.transmission, settings.airlight, settings.relief)
    direction = draw(rng, settings.angle)
    rained = image.copy()
    for _ in range(draw_int(rng, settings.layers)):
        stroke = stroke_kernel(
            draw(rng, settings.length),
            draw(rng, settings.width),
            math.radians(direction + 3.0 * rng.standard_normal()),
        )
        layer = particle_layer(rng, height, width, draw(rng, settings.density), stroke)
        rained += np.float32(draw(rng, settings.brightness)) * layer
    return np.clip(add_veil(rained, veil), 0.0, 1.0)
