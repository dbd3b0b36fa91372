"""PSNR and SSIM by a task's convention, on scikit-image where it serves."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from pipeline.degradations.image import Image
from pipeline.metrics.convention import MetricConvention, comparable

__all__ = ["Window", "gaussian_window", "psnr", "ssim"]

Window = Literal["valid", "same"]

# Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13(4), 2004.
WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
C1 = (0.01 * 255.0) ** 2
C2 = (0.03 * 255.0) ** 2


def gaussian_window() -> npt.NDArray[np.float64]:
    """The 11 taps of SSIM's separable Gaussian window, summing to 1."""
    offsets = np.arange(WINDOW_SIZE) - WINDOW_SIZE // 2
    taps = np.exp(-0.5 * (offsets / WINDOW_SIGMA) ** 2)
    return taps / taps.sum()


def psnr(restored: Image, gt: Image, convention: MetricConvention) -> float:
    """Peak signal-to-noise ratio in dB, peak 255, one mean over all values; infinite for equal images.

    Both images are float32 (H, W, C) in [0, 1]; see ``comparable`` for rounding and for what raises ValueError.
    """
    levels_restored, levels_gt = comparable(restored, gt, convention)
    mse = float(np.mean((levels_restored - levels_gt) ** 2))
    return math.inf if mse == 0.0 else 10.0 * math.log10(255.0**2 / mse)


def ssim(restored: Image, gt: Image, convention: MetricConvention, window: Window = "valid") -> float:
    """Structural similarity (Gaussian window 11x11, σ 1.5), averaged over channels.

    window: "valid" averages over windows wholly inside the image (MATLAB, BasicSR, SwinIR); "same" pads with
    zeros and averages over every pixel (GRL), which reads higher. Raises ValueError for another name and,
    besides ``comparable``'s reasons, when fewer than 11 pixels of a side remain.
    """
    levels_restored, levels_gt = comparable(restored, gt, convention)
    if min(levels_gt.shape[:2]) < WINDOW_SIZE:
        height, width = levels_gt.shape[:2]
        raise ValueError(f"SSIM needs at least {WINDOW_SIZE}x{WINDOW_SIZE} pixels; {height}x{width} are measured")
    if window == "same":
        return _zero_padded_ssim(levels_restored, levels_gt)
    if window != "valid":
        raise ValueError(f"unknown SSIM window {window!r}; use 'valid' or 'same'")
    from skimage.metrics import structural_similarity  # who restores reads records of metrics without it

    return float(
        structural_similarity(
            levels_restored,
            levels_gt,
            channel_axis=2,
            gaussian_weights=True,
            sigma=WINDOW_SIGMA,
            use_sample_covariance=False,
            data_range=255.0,
        )
    )


def _zero_padded_ssim(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    taps = gaussian_window()

    def smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rows: npt.NDArray[np.float64] = correlate1d(values, taps, axis=0, mode="constant")
        both: npt.NDArray[np.float64] = correlate1d(rows, taps, axis=1, mode="constant")
        return both

    mean_a, mean_b = smooth(a), smooth(b)
    variance_a = smooth(a * a) - mean_a**2
    variance_b = smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    luminance = (2.0 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2.0 * covariance + C2) / (variance_a + variance_b + C2)
    return float(np.mean(luminance * structure))
