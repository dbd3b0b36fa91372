"""Lanczos enlarging, which every image viewer has: Pillow's."""

from __future__ import annotations

import numpy as np
from PIL import Image as PilImage

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.quantize import quantize


def lanczos_up(image: Image, scale: int) -> Image:
    """(H, W, C) to (H·scale, W·scale, C), rounded to 8 bits: a windowed sinc of three lobes, in float."""
    check_image(image)
    height, width = image.shape[:2]
    planes = [
        PilImage.fromarray(np.ascontiguousarray(image[:, :, channel])).resize(
            (width * scale, height * scale), PilImage.Resampling.LANCZOS
        )
        for channel in range(image.shape[2])
    ]
    return quantize(np.stack([np.asarray(plane, np.float32) for plane in planes], axis=2))
