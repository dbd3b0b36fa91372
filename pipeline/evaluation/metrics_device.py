"""PSNR and SSIM of batches on any torch device; the same figures as ``metrics`` to 1e-4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.degradations.color import Y_OFFSET, Y_WEIGHTS
from pipeline.evaluation.convention import MetricConvention
from pipeline.evaluation.metrics import C1, C2, WINDOW_SIZE, Window, gaussian_window


def psnr_batch(restored: Tensor, gt: Tensor, convention: MetricConvention) -> Tensor:
    """dB per image, (B,) float64, of (B, C, H, W) in [0, 1]; infinite for equal images.

    Clipping, rounding, channel and border as in ``convention.comparable``, and the same ValueErrors.
    """
    levels_restored, levels_gt = _comparable(restored, gt, convention)
    mse = (levels_restored - levels_gt).square().mean(dim=(1, 2, 3))
    return 10.0 * torch.log10(255.0**2 / mse)


def ssim_batch(restored: Tensor, gt: Tensor, convention: MetricConvention, window: Window = "valid") -> Tensor:
    """SSIM per image, (B,) float64, of (B, C, H, W) in [0, 1]; ``window`` as in ``metrics.ssim``."""
    a, b = _comparable(restored, gt, convention)
    height, width = a.shape[-2:]
    if min(height, width) < WINDOW_SIZE:
        raise ValueError(f"SSIM needs at least {WINDOW_SIZE}x{WINDOW_SIZE} pixels; {height}x{width} are measured")
    if window not in ("valid", "same"):
        raise ValueError(f"unknown SSIM window {window!r}; use 'valid' or 'same'")
    padding = WINDOW_SIZE // 2 if window == "same" else 0
    channels = a.shape[1]
    taps = torch.from_numpy(gaussian_window()).to(a.device)
    column = taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    row = taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)

    def smooth(values: Tensor) -> Tensor:
        rows = F.conv2d(values, column, padding=(padding, 0), groups=channels)
        return F.conv2d(rows, row, padding=(0, padding), groups=channels)

    mean_a, mean_b = smooth(a), smooth(b)
    variance_a = smooth(a * a) - mean_a**2
    variance_b = smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    luminance = (2.0 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2.0 * covariance + C2) / (variance_a + variance_b + C2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _comparable(restored: Tensor, gt: Tensor, convention: MetricConvention) -> tuple[Tensor, Tensor]:
    if restored.shape != gt.shape or gt.dim() != 4:
        raise ValueError(
            f"restored batch has shape {tuple(restored.shape)}, ground truth {tuple(gt.shape)}; "
            "wanted the same (B, C, H, W)"
        )
    channels = {"rgb": (3,), "gray": (1,), "y": (1, 3)}[convention.channel]
    if gt.shape[1] not in channels:
        raise ValueError(f"images have {gt.shape[1]} channels; {convention.channel} needs {channels}")
    border = convention.border
    height, width = gt.shape[-2:]
    if min(height, width) <= 2 * border:
        raise ValueError(f"image of {height}x{width} has nothing left after cropping a border of {border} pixels")
    inner = (..., slice(border, height - border), slice(border, width - border))
    return _levels(restored[inner], convention), _levels(gt[inner], convention)


def _levels(images: Tensor, convention: MetricConvention) -> Tensor:
    # float64: SSIM subtracts squares of means from means of squares.
    levels = torch.round(images.double().clamp(0.0, 1.0) * 255.0)
    if convention.channel == "y" and images.shape[1] == 3:
        weights = torch.from_numpy(Y_WEIGHTS).to(levels.device).view(1, 3, 1, 1)
        return (levels * weights).sum(dim=1, keepdim=True) + 255.0 * Y_OFFSET
    return levels
