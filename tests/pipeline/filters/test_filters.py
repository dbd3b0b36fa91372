"""Free filters do what they are known to do, and leave alone what has nothing wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.random import Generator, Philox
from skimage import data

from pipeline.degradations.noise import gaussian_noise
from pipeline.degradations.quantize import from_uint8
from pipeline.degradations.resize import bicubic_down
from pipeline.filters.lanczos import lanczos_up
from pipeline.filters.non_local_means import estimated_sigma, non_local_means

PHOTO = from_uint8(data.astronaut()[40:136, 120:216])


def error(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square in 8-bit levels."""
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2))) * 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [15.0, 25.0, 50.0])
def test_non_local_means_removes_noise_whose_strength_it_is_not_told(channels: int, sigma: float) -> None:
    clean = PHOTO[:, :, :channels]
    noisy = gaussian_noise(clean, Generator(Philox(key=1)), (sigma, sigma))
    assert estimated_sigma(noisy) * 255 == pytest.approx(sigma, rel=0.3)
    restored = non_local_means(noisy)
    assert restored.dtype == np.float32
    assert restored.shape == clean.shape
    assert error(restored, clean) < 0.75 * error(noisy, clean)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_without_noise_comes_back(channels: int) -> None:
    flat = np.full((24, 31, channels), 0.4, np.float32)
    np.testing.assert_array_equal(non_local_means(flat), flat)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lanczos_is_a_windowed_sinc(scale: int) -> None:
    # One white pixel shows the kernel itself: sinc(x) sinc(x / 3), sampled at the new pixels' centers.
    small = np.zeros((15, 15, 1), np.float32)
    small[7, 7] = 1.0
    middle = lanczos_up(small, scale)[:, :, 0]
    offsets = [(position + 0.5) / scale - 0.5 - 7 for position in range(15 * scale)]

    def sinc(x: float) -> float:
        return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)

    taps = np.array([sinc(x) * sinc(x / 3) if abs(x) < 3 else 0.0 for x in offsets])
    # Pillow makes the weights of each new pixel sum to one.
    sums = [sum(sinc(x + n) * sinc((x + n) / 3) for n in range(-20, 21) if abs(x + n) < 3) for x in offsets]
    taps /= np.array(sums)
    np.testing.assert_allclose(middle, np.clip(np.outer(taps, taps), 0, 1), atol=1.01 / 255)


def test_lanczos_enlarges_a_photograph_better_than_repeating_its_pixels() -> None:
    small = bicubic_down(PHOTO, 2)
    assert error(lanczos_up(small, 2), PHOTO) < error(small.repeat(2, axis=0).repeat(2, axis=1), PHOTO)
