from __future__ import annotations

import numpy as np
import pytest

from pipeline.degradations.noise import gaussian_noise


@pytest.mark.parametrize("sigma", [15.0, 50.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_has_the_stated_strength_and_no_mean(generator, sigma, channels):
    gray = np.full((256, 256, channels), 0.5, np.float32)
    noise = gaussian_noise(gray, generator(0), (sigma, sigma)) - gray
    assert noise.std() * 255 == pytest.approx(sigma, rel=0.02)
    assert abs(noise.mean()) * 255 < 5 * sigma / np.sqrt(noise.size)


def test_sigma_is_in_levels_of_255_not_256():
    """A million draws know the strength to 0.07 %; 255 / 256 would be off by 0.4 %."""
    noise = gaussian_noise(np.zeros((1024, 1024, 1), np.float32), np.random.default_rng(0), (25.0, 25.0))
    assert noise.std(dtype=np.float64) * 255 == pytest.approx(25.0, rel=0.0025)


@pytest.mark.parametrize("shape", [(5, 7, 3), (4, 4, 1)])
def test_noise_is_the_generator_s_own_after_one_draw_of_the_strength(generator, shape):
    image, rng = np.random.default_rng(0).random(shape, np.float32), generator(8)
    strength = np.float32((10 + 30 * rng.random()) / 255)
    noisy = gaussian_noise(image, generator(8), (10.0, 40.0))
    np.testing.assert_allclose(noisy, image + strength * rng.standard_normal(shape, np.float32), rtol=1e-6)
    assert noisy.dtype == np.float32


def test_leaves_the_unit_interval_and_the_8_bit_grid(generator):
    white = np.ones((32, 32, 1), np.float32)
    noisy = gaussian_noise(white, generator(0), (25.0, 25.0))
    assert noisy.max() > 1.0
    assert np.abs(noisy * 255 - np.rint(noisy * 255)).max() > 0.4


def test_channels_get_independent_noise(generator):
    noise = gaussian_noise(np.zeros((200, 200, 3), np.float32), generator(0), (25.0, 25.0)).reshape(-1, 3)
    correlation = np.corrcoef(noise.T)
    assert np.abs(correlation - np.eye(3)).max() < 0.03


def test_a_range_draws_one_strength_per_image(generator):
    rng = generator(3)
    gray = np.zeros((64, 64, 1), np.float32)
    levels = [gaussian_noise(gray, rng, (10.0, 40.0)).std() * 255 for _ in range(40)]
    assert min(levels) > 9.0
    assert max(levels) < 42.0
    assert max(levels) - min(levels) > 15.0


def test_fixing_the_strength_only_rescales_the_noise(generator):
    gray = np.zeros((16, 16, 1), np.float32)
    weak = gaussian_noise(gray, generator(5), (10.0, 10.0))
    strong = gaussian_noise(gray, generator(5), (20.0, 20.0))
    np.testing.assert_allclose(strong, 2 * weak, rtol=1e-5)
