"""RGB to luma as MATLAB's ``rgb2ycbcr`` does it (ITU-R BT.601, studio range 16..235)."""

from __future__ import annotations

import numpy as np

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.quantize import quantize

# Y on the 0..255 scale for R, G, B in [0, 1]: BT.601 as tabulated by MATLAB's rgb2ycbcr.
Y_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0
Y_OFFSET = 16.0 / 255.0


def to_y(image: Image) -> Image:
    """Luma of an RGB image as (H, W, 1), unrounded: Y = (65.481 R + 128.553 G + 24.966 B + 16) / 255.

    A gray image (one channel) is returned as it is: it is its own luma.
    """
    check_image(image)
    if image.shape[2] == 1:
        return image
    luma = image.astype(np.float64) @ Y_WEIGHTS + Y_OFFSET
    return luma[:, :, None].astype(np.float32)


def to_gray(image: Image) -> Image:
    """The gray image (H, W, 1) that the field's gray benchmarks use: MATLAB Y of the RGB image, rounded to 8 bits.

    The published gray figures on LIVE1 only fit this conversion; other grays differ by 0.75 dB.
    A gray image is returned as it is.
    """
    check_image(image)
    return image if image.shape[2] == 1 else quantize(to_y(image))


def to_rgb(image: Image) -> Image:
    """RGB (H, W, 3): a gray image is repeated over the channels, RGB is returned as it is."""
    check_image(image)
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
