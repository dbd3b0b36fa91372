"""The strength of a picture's noise, from its finest diagonal details."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

# I. Daubechies, "Orthonormal bases of compactly supported wavelets", 1988: the high-pass filter with two vanishing
# moments, which sees neither flat parts nor slopes. Its squares sum to 1, so white noise stays as strong as it was.
_HIGH_PASS = np.array([-0.12940952255126037, -0.2241438680420134, 0.8365163037378079, -0.48296291314453416])
# The median of |x| for x from N(0, 1).
_MEDIAN_OF_ABSOLUTE = 0.6744897501960817
SMALLEST_SIDE = 16


def estimate_noise(image: npt.NDArray[np.floating]) -> float | None:
    """The standard deviation of an image's noise in 8-bit gray levels, taken as white and Gaussian.

    D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994: the median
    of the absolute diagonal details over 0.6745, as scikit-image's ``estimate_sigma`` has it; the mean over channels.

    A lower bound in practice: JPEG and denoising take the finest details away, and fine texture passes for noise.

    Args:
        image: (H, W, C), in [0, 1].

    Returns:
        None for an image with a side below 16 pixels, which has too few details.
    """
    if min(image.shape[:2]) < SMALLEST_SIDE:
        return None
    values = np.asarray(image, np.float32)
    along = correlate1d(values, _HIGH_PASS, axis=0, mode="reflect")[1:-2:2]
    details = np.abs(correlate1d(along, _HIGH_PASS, axis=1, mode="reflect")[:, 1:-2:2])
    # What was exactly zero had no noise to lose: clipped whites, and files that were never a photograph.
    medians = [
        float(np.median(channel[channel > 0])) if channel.any() else 0.0 for channel in np.moveaxis(details, 2, 0)
    ]
    return 255.0 * sum(medians) / len(medians) / _MEDIAN_OF_ABSOLUTE
