"""Which channel and which border a task's figures are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.degradations.color import to_y
from pipeline.degradations.image import Image, check_image
from pipeline.degradations.quantize import to_uint8

Channel = Literal["rgb", "gray", "y"]


@dataclass(frozen=True, kw_only=True)
class MetricConvention:
    """channel: "rgb" and "gray" are the values as they are, "y" MATLAB's luma. border: pixels cropped.

    blocking: whether the task's tables also show PSNR-B. rounded: figures of saved 8-bit images; else of the float
    values, clipped to [0, 1].
    """

    channel: Channel
    border: int = 0
    blocking: bool = False
    rounded: bool = True

    def describe(self) -> str:
        """In words, for tables and model cards."""
        name = {"rgb": "RGB", "gray": "gray", "y": "Y"}[self.channel]
        name = name if self.rounded else f"{name} in float, not rounded"
        return f"{name}, border {self.border} px" if self.border else name


def comparable(
    restored: Image, gt: Image, convention: MetricConvention
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both images as levels 0..255 (float64, (H, W, C)) in the convention's channel, border cropped.

    ``restored`` is clipped to [0, 1] and rounded to 8 bits before any conversion, as published figures are measured on
    saved images (with ``rounded=False`` in the convention it is clipped alone); so is ``gt``, which changes nothing for
    images that come from 8-bit files. The luma of RGB images stays unrounded, as in MATLAB's double arithmetic.

    Raises ValueError for differing shapes, for the wrong number of channels and for images that the border consumes.
    """
    check_image(restored)
    check_image(gt)
    if restored.shape != gt.shape:
        raise ValueError(f"restored image has shape {restored.shape}, ground truth {gt.shape}; they must agree")
    channels = {"rgb": (3,), "gray": (1,), "y": (1, 3)}[convention.channel]
    check_image(gt, channels)
    border = convention.border
    height, width = gt.shape[:2]
    if min(height, width) <= 2 * border:
        raise ValueError(f"image of {height}x{width} has nothing left after cropping a border of {border} pixels")
    inner = (slice(border, height - border), slice(border, width - border))
    levels_restored, levels_gt = (_levels(image[inner], convention) for image in (restored, gt))
    return levels_restored, levels_gt


def _levels(image: Image, convention: MetricConvention) -> npt.NDArray[np.float64]:
    levels: npt.NDArray[np.float64]
    levels = to_uint8(image).astype(np.float64) if convention.rounded else image.astype(np.float64).clip(0, 1) * 255.0
    if convention.channel == "y" and image.shape[2] == 3:
        levels = to_y((levels / 255.0).astype(np.float32)) * np.float64(255.0)
    return levels
