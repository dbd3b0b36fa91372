"""Sensor noise grows with the light, is correlated by a mosaic, and sharpening changes detail alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import Generator, Philox

from pipeline.degradations.sensor import GAMMA, sensor_noise
from pipeline.degradations.sharpen import unsharp_mask


def noise_of(gray: float, shot: float, mosaicked: float = 0.0) -> np.ndarray:
    """What is added to a flat image, in linear light (H, W, 3)."""
    flat = np.full((96, 96, 3), gray, np.float32)
    noisy = sensor_noise(flat, Generator(Philox(key=3)), (shot, shot), mosaicked)
    return noisy.astype(np.float64) ** GAMMA - gray**GAMMA


def test_variance_is_shot_times_light_plus_read():
    dark, bright = noise_of(0.5, 1e-3), noise_of(0.8, 1e-3)
    slope = (bright.var() - dark.var()) / (0.8**GAMMA - 0.5**GAMMA)
    assert slope == pytest.approx(1e-3, rel=0.1)
    assert noise_of(0.5, 1e-3).mean() == pytest.approx(0, abs=1e-3)


def test_a_mosaic_s_noise_is_correlated_between_neighbors():
    def correlation(noise: np.ndarray) -> float:
        return float(np.corrcoef(noise[:, :-1, 0].ravel(), noise[:, 1:, 0].ravel())[0, 1])

    assert abs(correlation(noise_of(0.5, 1e-3))) < 0.05
    assert correlation(noise_of(0.5, 1e-3, mosaicked=1.0)) > 0.3


def test_sensor_noise_stays_in_range_and_takes_gray_images():
    black = np.zeros((9, 7, 1), np.float32)
    noisy = sensor_noise(black, Generator(Philox(key=0)), (1e-2, 1e-2), 1.0)
    assert noisy.shape == black.shape
    assert noisy.dtype == np.float32
    assert 0 <= noisy.min() <= noisy.max() <= 1
    assert not black.any()


def test_sharpening_leaves_flat_parts_and_exaggerates_edges():
    step = np.full((24, 24, 1), 0.3, np.float32)
    step[:, 12:] = 0.6
    sharp = unsharp_mask(step, radius=1.0, amount=0.5)
    np.testing.assert_allclose(sharp[:, :6], 0.3, atol=1e-6)
    assert sharp[:, 11].max() < 0.29
    assert sharp[:, 12].min() > 0.61
    np.testing.assert_allclose(unsharp_mask(step, 1.0, 0.0), step, atol=1e-6)
