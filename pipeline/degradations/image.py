"""The one array layout of images in the pipeline, and its check."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.float32]
"""float32, (H, W, C), C in {1, 3}, RGB order, nominally [0, 1]."""


def check_image(image: Image, channels: tuple[int, ...] = (1, 3)) -> None:
    """Raise ValueError unless ``image`` is float32 (H, W, C) with C in ``channels`` and at least one pixel."""
    if image.ndim != 3 or image.shape[2] not in channels or image.size == 0:
        wanted = " or ".join(str(c) for c in channels)
        raise ValueError(f"image has shape {image.shape}; wanted (height, width, {wanted}), not empty")
    if image.dtype != np.float32:
        raise ValueError(f"image has dtype {image.dtype}; wanted float32 in [0, 1]")
