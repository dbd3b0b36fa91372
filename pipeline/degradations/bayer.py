"""The RGGB color filter array and its two classical demosaickings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate

from pipeline.degradations.image import Image, check_image

# RGGB: red at even rows and columns, blue at odd ones, green elsewhere.

_BILINEAR_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_BILINEAR_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4

# H. S. Malvar, L. He, R. Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
# images", ICASSP 2004, figure 2; all eighths.
_GREEN_AT_RED_BLUE = (
    np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]], np.float32) / 8
)
_COLOR_BESIDE_GREEN = (  # the wanted color lies left and right of the green site
    np.array(
        [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
        np.float32,
    )
    / 8
)
_COLOR_ABOVE_GREEN = np.ascontiguousarray(_COLOR_BESIDE_GREEN.T)
_RED_AT_BLUE = (
    np.array(
        [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]],
        np.float32,
    )
    / 8
)


def mosaic(image: Image) -> Image:
    """What an RGGB sensor records of an RGB image: (H, W, 3) to (H, W, 1)."""
    check_image(image, channels=(3,))
    recorded = np.empty(image.shape[:2], np.float32)
    recorded[0::2, 0::2] = image[0::2, 0::2, 0]
    recorded[0::2, 1::2] = image[0::2, 1::2, 1]
    recorded[1::2, 0::2] = image[1::2, 0::2, 1]
    recorded[1::2, 1::2] = image[1::2, 1::2, 2]
    return recorded[:, :, None]


def demosaic_bilinear(recorded: Image) -> Image:
    """RGGB mosaic (H, W, 1) to RGB (H, W, 3); each missing color is the mean of its nearest samples."""
    samples = _checked(recorded)
    red, green, blue = (np.zeros_like(samples) for _ in range(3))
    red[0::2, 0::2] = samples[0::2, 0::2]
    green[0::2, 1::2] = samples[0::2, 1::2]
    green[1::2, 0::2] = samples[1::2, 0::2]
    blue[1::2, 1::2] = samples[1::2, 1::2]
    # Mirroring about the edge pixel keeps the parity of the pattern.
    planes = (
        correlate(red, _BILINEAR_RED_BLUE, mode="mirror"),
        correlate(green, _BILINEAR_GREEN, mode="mirror"),
        correlate(blue, _BILINEAR_RED_BLUE, mode="mirror"),
    )
    return np.stack(planes, axis=2)


def demosaic_malvar(recorded: Image) -> Image:
    """RGGB mosaic (H, W, 1) to RGB (H, W, 3) by Malvar, He and Cutler's 5x5 linear filters, clipped to [0, 1]."""
    samples = _checked(recorded)
    rgb = np.repeat(samples[:, :, None], 3, axis=2)
    green = correlate(samples, _GREEN_AT_RED_BLUE, mode="mirror")
    beside = correlate(samples, _COLOR_BESIDE_GREEN, mode="mirror")
    above = correlate(samples, _COLOR_ABOVE_GREEN, mode="mirror")
    across = correlate(samples, _RED_AT_BLUE, mode="mirror")
    for row in (0, 1):
        rgb[row::2, row::2, 1] = green[row::2, row::2]
    rgb[0::2, 1::2, 0] = beside[0::2, 1::2]
    rgb[0::2, 1::2, 2] = above[0::2, 1::2]
    rgb[1::2, 0::2, 0] = above[1::2, 0::2]
    rgb[1::2, 0::2, 2] = beside[1::2, 0::2]
    rgb[1::2, 1::2, 0] = across[1::2, 1::2]
    rgb[0::2, 0::2, 2] = across[0::2, 0::2]
    return np.clip(rgb, 0.0, 1.0, out=rgb)


def _checked(recorded: Image) -> npt.NDArray[np.float32]:
    check_image(recorded, channels=(1,))
    height, width = recorded.shape[:2]
    if min(height, width) < 2:
        raise ValueError(f"mosaic of {height}x{width} is too small; a color filter array needs at least 2x2")
    return recorded[:, :, 0]
