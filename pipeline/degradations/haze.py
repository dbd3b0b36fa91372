"""Haze: light from the scene is attenuated with distance, light from the air is added.

B. Li et al., "Benchmarking single-image dehazing and beyond", IEEE TIP 28(1), 2019 (RESIDE), make their hazy images
by the atmospheric scattering model of ``pipeline.degradations.veil`` from depth maps, with an airlight of 0.8 to 1.0
outdoors. An ordinary photograph has no depth map: the optical depth is a smooth relief here, so figures on such haze
say nothing of RESIDE's own test set.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Brightness, Share, Transmission
from pipeline.degradations.veil import add_veil, random_veil
from pipeline.settings.base import Settings


class Haze(Settings):
    """Ranges from which each image's haze is drawn."""

    transmission: Transmission = (0.35, 0.9)  # chosen: from a distance lost in the haze to a light mist
    airlight: Brightness = (0.8, 1.0)  # RESIDE, outdoors
    relief: Share = (0.2, 1.0)  # chosen: outdoors, depth always varies


def haze(image: Image, rng: Generator, settings: Haze) -> Image:
    """``image`` behind haze. Clipped to [0, 1], not rounded."""
    check_image(image)
    height, width = image.shape[:2]
    veil = random_veil(rng, height, width, settings.transmission, settings.airlight, settings.relief)
    return np.clip(add_veil(image, veil), 0.0, 1.0)
