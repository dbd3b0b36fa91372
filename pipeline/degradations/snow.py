"""Falling snow: near-white flakes of several sizes that cover what is behind them.

Y.-F. Liu et al., "DesnowNet: context-aware deep network for snow removal", IEEE Trans. Image Processing
27(6), 2018 (Snow100K): observed = flake color · z + scene · (1 - z), z in [0, 1] the snow mask, made of
small, medium and large flakes of differing density and motion.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Angle, Brightness, Density, Share, Transmission, draw
from pipeline.degradations.streaks import particle_layer, stroke_kernel
from pipeline.degradations.veil import add_veil, random_veil
from pipeline.settings.base import Settings

# Diameter in pixels, path during the exposure in diameters, and share of the density: flakes near the lens
# look larger, faster and rarer.
_SIZES = (((1.0, 2.0), 0.5, 1.0), ((2.5, 4.5), 1.0, 0.3), ((5.0, 9.0), 1.5, 0.06))


class Snow(Settings):
    """Ranges from which each image's snow is drawn; density: small flakes per pixel."""

    density: Density = (0.001, 0.006)
    angle: Angle = (-45.0, 45.0)
    opacity: Share = (0.6, 1.0)
    flake_brightness: Brightness = (0.8, 1.0)
    transmission: Transmission = (0.7, 1.0)
    airlight: Brightness = (0.7, 0.95)
    relief: Share = (0.0, 0.4)


def snow(image: Image, rng: Generator, settings: Snow) -> Image:
    """A light veil, then snow of three sizes in front. Clipped to [0, 1], not rounded."""
    check_image(image)
    height, width = image.shape[:2]
    veil = random_veil(rng, height, width, settings.transmission, settings.airlight, settings.relief)
    density = draw(rng, settings.density)
    direction = math.radians(draw(rng, settings.angle))
    opacity = np.float32(draw(rng, settings.opacity))
    flakes = np.float32(draw(rng, settings.flake_brightness))
    snowed = add_veil(image, veil)
    for diameters, path, share in _SIZES:
        diameter = draw(rng, diameters)
        flake = stroke_kernel(path * diameter * rng.random(), diameter, direction)
        mask = opacity * particle_layer(rng, height, width, density * share, flake)
        snowed += mask * (flakes - snowed)
    return np.clip(snowed, 0.0, 1.0)
