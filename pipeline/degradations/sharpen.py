"""Unsharp masking, as cameras and photo programs sharpen."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from pipeline.degradations.image import Image, check_image


def unsharp_mask(image: Image, radius: float, amount: float) -> Image:
    """image + amount · (image - Gaussian blur of it), clipped to [0, 1], not rounded.

    radius: standard deviation of the blur in pixels. amount: 0 changes nothing, 1 doubles the finest detail.
    """
    check_image(image)
    blurred = gaussian_filter(image, sigma=(radius, radius, 0), mode="mirror", truncate=3.0)
    return np.clip(image + np.float32(amount) * (image - blurred), 0.0, 1.0).astype(np.float32)
