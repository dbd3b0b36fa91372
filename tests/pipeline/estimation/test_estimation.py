"""Noise and JPEG quality are found where they are known, and a picture outside a model's range is named."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from pipeline.estimation.fit import misfits
from pipeline.estimation.jpeg_quality import estimate_quality
from pipeline.estimation.noise import estimate_noise

PHOTO = data.chelsea()[:200, :240].astype(np.float32) / 255


@pytest.mark.parametrize(("sigma", "tolerance"), [(5, 0.3), (15, 0.1), (25, 0.1), (50, 0.1)])  # fur passes for noise
def test_white_noise_on_a_photograph_is_found(sigma, tolerance):
    noise = np.random.default_rng(0).standard_normal(PHOTO.shape, dtype=np.float32)
    assert estimate_noise(PHOTO + sigma / 255 * noise) == pytest.approx(sigma, rel=tolerance)


def test_a_clean_photograph_has_little_noise_and_a_slope_none():
    assert 0 <= (estimate_noise(PHOTO) or 0) < 3
    slope = np.add.outer(np.arange(64.0), np.arange(80.0))[:, :, None] / 256
    assert estimate_noise(slope) == pytest.approx(0, abs=0.01)


def test_too_small_a_picture_says_nothing():
    assert estimate_noise(np.zeros((15, 40, 3), np.float32)) is None


@given(quality=st.integers(1, 100))
@settings(max_examples=100, deadline=None)
def test_the_quality_of_an_encoder_s_own_file_is_exact(quality):
    coded = io.BytesIO()
    PIL.Image.new("RGB", (16, 16), "gray").save(coded, "JPEG", quality=quality)
    with PIL.Image.open(coded) as image:
        assert estimate_quality(image.quantization) == quality  # type: ignore[attr-defined]


def test_what_is_no_jpeg_file_has_no_quality():
    assert estimate_quality(None) is None
    assert estimate_quality({}) is None
    assert estimate_quality({0: [1, 2, 3]}) is None


def test_only_what_lies_outside_is_named():
    bounds = {"sigma": (0.0, 50.0), "quality": (10.0, 100.0)}
    assert misfits(bounds, sigma=49.0, quality=10) == []
    assert misfits(bounds, sigma=None, quality=None) == []
    assert misfits({}, sigma=200.0, quality=1) == []
    assert misfits(bounds, sigma=80.2, quality=5) == [
        "its noise is about 80 gray levels, the model knows 0 to 50",
        "its JPEG quality is about 5, the model knows 10 to 100",
    ]
