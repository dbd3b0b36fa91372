"""Noise of a camera's sensor: stronger where the scene is bright, correlated by demosaicking.

T. Brooks, B. Mildenhall, T. Xue, J. Chen, D. Sharlet, J. T. Barron, "Unprocessing images for learned raw denoising",
CVPR 2019, section 3.1: in linear light the variance of a value x is shot · x + read; log shot is uniform, log read
follows it linearly with a deviation of 0.26. The paper fitted both to the cameras of the Darmstadt Noise Dataset.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from pipeline.degradations.bayer import demosaic_malvar, mosaic
from pipeline.degradations.image import Image, check_image
from pipeline.degradations.ranges import Range, draw

# Brooks et al., section 3.1: log read = 2.18 · log shot + 1.2 + N(0, 0.26).
READ_SLOPE, READ_OFFSET, READ_DEVIATION = 2.18, 1.2, 0.26
# IEC 61966-2-1 (sRGB) approximated by a power, as Brooks et al. do.
GAMMA = 2.2
DARKEST = 1e-8  # keeps the power's slope finite


def sensor_noise(image: Image, rng: Generator, shot: Range, mosaicked_share: float) -> Image:
    """Add shot and read noise in linear light, and return to the image's gamma. Clipped to [0, 1], not rounded.

    shot: variance per unit of light, both ends above 0; drawn log-uniformly. The paper's cameras span 1e-4..1.2e-2.
    mosaicked_share: of the color images, in [0, 1]: the noise falls on an RGGB mosaic, which Malvar's filters then
        fill; elsewhere it is independent in every channel.
    """
    check_image(image)
    log_shot = draw(rng, (math.log(shot[0]), math.log(shot[1])))
    log_read = READ_SLOPE * log_shot + READ_OFFSET + READ_DEVIATION * rng.standard_normal()
    through_mosaic = rng.random() < mosaicked_share and image.shape[2] == 3 and min(image.shape[:2]) >= 2
    linear = np.power(np.clip(image, 0.0, 1.0), np.float32(GAMMA))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= np.sqrt(np.float32(math.exp(log_shot)) * linear + np.float32(math.exp(log_read)))
    noisy = np.clip(linear + noise, 0.0, 1.0)
    if through_mosaic:
        # The difference alone goes through the filters: the scene itself was demosaicked by its own camera.
        rough, smooth = demosaic_malvar(mosaic(noisy)), demosaic_malvar(mosaic(linear))
        noisy = np.clip(linear + (rough - smooth), 0.0, 1.0)
    return np.power(np.maximum(noisy, np.float32(DARKEST)), np.float32(1 / GAMMA)).astype(np.float32)
