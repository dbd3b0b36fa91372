"""Whether a one-channel picture can be what a sensor recorded through a Bayer filter, or is plainly a gray picture."""

from __future__ import annotations

import numpy as np

from pipeline.degradations.image import Image, check_image

# In a mosaic the next pixel looks through another color, the one after it through the same: steps of one pixel are
# larger than in a gray picture, where they are about two thirds of the steps of two. Measured on Kodak24 and a fifth of
# BSD100: gray pictures 0.60 to 0.83, their mosaics 0.88 to 7.3; Set12 and classic5 0.57 to 0.76.
LARGEST_OF_GRAY = 0.85
SMALLEST_SIDE = 16


def cannot_be_mosaic(image: Image) -> bool:
    """True for a gray picture (H, W, 1) whose neighboring pixels agree as no mosaic's do.

    False where it may be a mosaic: so also for strong noise, for flat pictures, and for a side below 16 pixels, which
    say too little.
    """
    check_image(image, channels=(1,))
    if min(image.shape[:2]) < SMALLEST_SIDE:
        return False
    plane = image[:, :, 0]
    one, two = (
        float(np.abs(plane[:, step:] - plane[:, :-step]).mean() + np.abs(plane[step:] - plane[:-step]).mean())
        for step in (1, 2)
    )
    return one < LARGEST_OF_GRAY * two
