"""Film grain: what belongs to a photograph and must stay, though it looks like noise."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Range, draw
from pipeline.settings.ranges import number_range

GrainLevels = Annotated[Range, number_range(0, 50, "8-bit gray levels, standard deviation of the grain")]
GrainSize = Annotated[Range, number_range(0.3, 5, "pixels, standard deviation of a grain's blur")]

COLOR_SHARE = 0.4  # of each channel's own grain beside the one that all share: chosen


def film_grain(image: Image, rng: Generator, levels: GrainLevels, size: GrainSize) -> Image:
    """Noise that hangs together over some pixels and channels, strongest in the middle tones; clipped to [0, 1].

    Independent noise has neither property, so a model can learn to tell them apart. Strength and size are drawn once.
    """
    check_image(image)
    strength, blur = draw(rng, levels) / 255.0, draw(rng, size)
    height, width, channels = image.shape
    shared = rng.standard_normal((height, width, 1), dtype=np.float32)
    own = rng.standard_normal((height, width, channels), dtype=np.float32)
    grain = gaussian_filter(shared + np.float32(COLOR_SHARE) * own, sigma=(blur, blur, 0), mode="mirror")
    grain *= np.float32(strength) / grain.std()
    tone = 4.0 * image * (1.0 - image)  # 1 in the middle; film shows least grain where it is clear or black
    return np.clip(image + grain * (0.4 + 0.6 * tone), 0.0, 1.0).astype(np.float32)
