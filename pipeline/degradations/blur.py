"""Spatially uniform blur by a kernel."""

from __future__ import annotations

import numpy as np

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.motion_kernel import Kernel


def check_kernel(kernel: Kernel) -> None:
    """Raise ValueError unless the kernel is square, of odd size, non-negative, finite and sums to 1 (to 1e-3)."""
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
        raise ValueError(f"blur kernel has shape {kernel.shape}; wanted a square of odd size")
    if not np.isfinite(kernel).all() or kernel.min() < 0:
        raise ValueError("blur kernel holds negative or non-finite values")
    if abs(float(kernel.sum()) - 1.0) > 1e-3:
        raise ValueError(f"blur kernel sums to {float(kernel.sum()):.4g}; normalize it to 1")


def blur(image: Image, kernel: Kernel) -> Image:
    """Convolve every channel with ``kernel`` (n, n), n odd; edges are continued by mirroring. Same shape back."""
    from scipy.signal import fftconvolve  # here: it brings scipy.stats along, seconds that other tasks need not wait

    check_image(image)
    check_kernel(kernel)
    radius = kernel.shape[0] // 2
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    blurred = fftconvolve(padded, kernel[:, :, None].astype(np.float32), mode="valid", axes=(0, 1))
    return np.ascontiguousarray(blurred, dtype=np.float32)
