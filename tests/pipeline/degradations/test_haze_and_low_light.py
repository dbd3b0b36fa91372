"""Haze pales, darkness darkens, both as their formulas say, at every size and for gray images too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator, Philox

from pipeline.degradations.haze import Haze, haze
from pipeline.degradations.low_light import LowLight, low_light
from tests.pipeline.degradations.test_sensor_and_sharpening import by_hand


@given(
    side=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    gray=st.floats(0.0, 1.0, width=32),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_haze_moves_every_value_toward_the_airlight(side, channels, gray, seed):
    image = np.full((side, 2 * side, channels), gray, np.float32)
    hazy = haze(image, Generator(Philox(key=seed)), Haze(airlight=(0.9, 0.9)))
    assert hazy.shape == image.shape
    assert hazy.dtype == np.float32
    low, high = min(gray, 0.9), max(gray, 0.9)
    assert low - 1e-6 <= hazy.min() <= hazy.max() <= high + 1e-6


def test_haze_without_relief_is_the_scattering_model():
    image = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3)
    hazy = haze(image, Generator(Philox(key=0)), Haze(transmission=(0.5, 0.5), airlight=(1.0, 1.0), relief=(0.0, 0.0)))
    np.testing.assert_allclose(hazy, 0.5 * image + 0.5, atol=1e-6)


def test_darkness_is_lv_s_formula_but_for_the_noise():
    image = np.full((64, 64, 3), 0.8, np.float32)
    values = LowLight(alpha=(0.9, 0.9), beta=(0.7, 0.7), gamma=(2.0, 2.0), shot=(1e-6, 1e-6))
    dark = low_light(image, Generator(Philox(key=0)), values)
    assert dark.mean() == pytest.approx(0.7 * (0.9 * 0.8) ** 2, abs=2e-3)


def test_darkness_is_drawn_alpha_first_and_has_the_noise_of_its_own_light():
    """A color picture stays without a mosaic's noise: its channels are as independent as the draws are."""
    image = np.random.default_rng(3).random((9, 8, 3), np.float32) * 1.4 - 0.2
    ranges = {"alpha": (0.9, 1.0), "beta": (0.5, 1.0), "gamma": (1.5, 5.0), "shot": (1e-4, 1e-3)}
    rng = Generator(Philox(key=4))
    alpha, beta, gamma = (low + (high - low) * rng.random() for low, high in list(ranges.values())[:3])
    wanted = by_hand(beta * (alpha * image.clip(0, 1)) ** gamma, rng, ranges["shot"], 0.0)
    np.testing.assert_allclose(low_light(image, Generator(Philox(key=4)), LowLight(**ranges)), wanted, atol=2e-4)


def test_the_defaults_darken_every_picture():
    image = np.random.default_rng(0).random((32, 32, 3), np.float32)
    for seed in range(20):
        dark = low_light(image, Generator(Philox(key=seed)), LowLight())
        assert dark.mean() < 0.9 * image.mean()
        assert 0 <= dark.min() <= dark.max() <= 1
