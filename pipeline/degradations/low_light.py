"""Low light: the picture as a shorter exposure would have it.

F. Lv, Y. Li, F. Lu, "Attention guided low-light image enhancement with a large scale low-light simulation dataset",
IJCV 129, 2021, eq. 1: dark = β · (α · image)^γ with α in 0.9..1, β in 0.5..1, γ in 1.5..5, then noise. Their noise is a
Poisson-Gaussian one too; ours is that of ``pipeline.degradations.sensor``.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.random import Generator

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Range, draw
from pipeline.degradations.sensor import sensor_noise
from pipeline.settings.base import Settings
from pipeline.settings.ranges import number_range

Factor = number_range(0.01, 1, "factor")


class LowLight(Settings):
    """Ranges from which each image's darkness is drawn; those of Lv et al. but for the noise."""

    alpha: Annotated[Range, Factor] = (0.9, 1.0)
    beta: Annotated[Range, Factor] = (0.5, 1.0)
    gamma: Annotated[Range, number_range(1, 10, "exponent")] = (1.5, 5.0)
    shot: Annotated[Range, number_range(1e-6, 0.1, "variance per unit of linear light")] = (1e-5, 2e-3)  # chosen


def low_light(image: Image, rng: Generator, settings: LowLight) -> Image:
    """``image`` in the dark. Clipped to [0, 1], not rounded."""
    check_image(image)
    alpha, beta, gamma = draw(rng, settings.alpha), draw(rng, settings.beta), draw(rng, settings.gamma)
    dark = np.float32(beta) * np.power(np.float32(alpha) * np.clip(image, 0.0, 1.0), np.float32(gamma))
    return sensor_noise(dark, rng, settings.shot, mosaicked_share=0.0)
