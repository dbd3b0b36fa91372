"""PSNR-B: PSNR that also punishes the block edges which compression leaves in the restored image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pipeline.degradations.image import Image
from pipeline.metrics.convention import MetricConvention, comparable

_BLOCK = 8  # JPEG's


def blocking_effect(plane: npt.NDArray[np.float64]) -> float:
    """Blocking effect factor of one channel (H, W), in squared units of its values; 0 where no grid is visible.

    C. Yim, A. C. Bovik, "Quality assessment of deblocked images", IEEE Trans. Image Processing 20(1), 2011,
    with the counts of boundary pairs of the code behind the published JPEG tables (H/8 - 1 block rows,
    rounded down), which differ from the true ones only when a side is not a multiple of 8. Raises ValueError
    under 16 pixels a side.
    """
    height, width = plane.shape
    if min(height, width) < 2 * _BLOCK:
        raise ValueError(f"PSNR-B needs two blocks a side, at least 16x16 pixels; got {height}x{width}")
    boundary_pairs = height * (width // _BLOCK - 1) + width * (height // _BLOCK - 1)
    all_pairs = height * (width - 1) + width * (height - 1)
    across, down = np.diff(plane, axis=1) ** 2, np.diff(plane, axis=0) ** 2
    boundary = float(across[:, _BLOCK - 1 :: _BLOCK].sum() + down[_BLOCK - 1 :: _BLOCK].sum())
    inner = float(across.sum() + down.sum()) - boundary
    excess = boundary / boundary_pairs - inner / (all_pairs - boundary_pairs)
    return max(0.0, excess) * math.log2(_BLOCK) / math.log2(min(height, width))


def psnr_b(restored: Image, gt: Image, convention: MetricConvention) -> float:
    """PSNR with the restored image's blocking effect added to the error, in dB; the mean of the channels' figures.

    The block grid must start at the image's first pixel, so ``convention`` must not crop: ValueError otherwise.
    """
    if convention.border:
        raise ValueError(f"PSNR-B follows the 8x8 grid of the whole image; border is {convention.border}, wanted 0")
    levels_restored, levels_gt = comparable(restored, gt, convention)
    errors = np.mean((levels_restored - levels_gt) ** 2, axis=(0, 1))
    figures = []
    for channel, mse in enumerate(errors):
        total = float(mse) + blocking_effect(levels_restored[:, :, channel])
        figures.append(math.inf if total == 0.0 else 10.0 * math.log10(255.0**2 / total))
    return float(np.mean(figures))
