"""The 8-bit file between a degradation and the network: clip, round, scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.degradations.image import Image


def to_uint8(image: Image) -> npt.NDArray[np.uint8]:
    """[0, 1] floats to 0..255, clipped, rounded half to even as ``numpy.rint``."""
    scaled = np.multiply(image, np.float32(255.0), dtype=np.float32)
    np.clip(scaled, 0.0, 255.0, out=scaled)
    return np.rint(scaled, out=scaled).astype(np.uint8)


def from_uint8(image: npt.NDArray[np.uint8]) -> Image:
    """0..255 to float32 in [0, 1]."""
    return np.divide(image, np.float32(255.0), dtype=np.float32)


def quantize(image: Image) -> Image:
    """What remains of the image after saving it losslessly in 8 bits and reading it back."""
    return from_uint8(to_uint8(image))
