"""Sensor noise grows with the light, is correlated by a mosaic, and sharpening changes detail alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.random import Generator, Philox

from pipeline.degradations.sensor import sensor_noise
from pipeline.degradations.sharpen import unsharp_mask
from tests.pipeline.degradations.test_bayer import slow_malvar


def noise_of(gray: float, shot: float, mosaicked: float = 0.0) -> np.ndarray:
    """What is added to a flat image, in linear light (H, W, 3)."""
    flat = np.full((96, 96, 3), gray, np.float32)
    noisy = sensor_noise(flat, Generator(Philox(key=3)), (shot, shot), mosaicked)
    return noisy.astype(np.float64) ** 2.2 - gray**2.2


def by_hand(image: np.ndarray, rng: Generator, shot: tuple[float, float], share: float) -> np.ndarray:
    """Brooks et al. (2019), section 3.1, in doubles: noise of linear light, through a mosaic where the draw says so."""
    log_shot = math.log(shot[0]) + (math.log(shot[1]) - math.log(shot[0])) * rng.random()
    read = math.exp(2.18 * log_shot + 1.2 + 0.26 * rng.standard_normal())
    mosaicked = rng.random() < share and image.shape[2] == 3
    light = image.clip(0, 1).astype(np.float64) ** 2.2
    noisy = light + rng.standard_normal(image.shape, np.float32) * np.sqrt(math.exp(log_shot) * light + read)
    if mosaicked:
        filled = [slow_malvar(recorded(each.clip(0, 1))).clip(0, 1) for each in (noisy, light)]
        noisy = light + filled[0] - filled[1]
    return np.maximum(noisy.clip(0, 1), 1e-8) ** (1 / 2.2)


def recorded(image: np.ndarray) -> np.ndarray:
    """An RGGB sensor's samples (H, W, 1)."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.take_along_axis(image, (rows % 2 + columns % 2)[:, :, None], axis=2)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(8, 10, 3), (7, 9, 1), (2, 5, 3), (1, 6, 3)], ids=str)
def test_noise_is_the_paper_s_written_out(shape: tuple[int, ...], share: float) -> None:
    image = np.random.default_rng(1).random(shape, np.float32) * 1.4 - 0.2
    share = 0.0 if min(shape[:2]) < 2 else share  # no mosaic has a side of one pixel
    for seed in range(4):
        found = sensor_noise(image, Generator(Philox(key=seed)), (1e-4, 1.2e-2), share)
        wanted = by_hand(image, Generator(Philox(key=seed)), (1e-4, 1.2e-2), share)
        np.testing.assert_allclose(found, wanted, atol=2e-4)
        assert found.dtype == np.float32


def test_a_picture_of_one_row_has_no_mosaic() -> None:
    image = np.full((1, 6, 3), 0.5, np.float32)
    through, beside = (sensor_noise(image, Generator(Philox(key=0)), (1e-3, 1e-3), share) for share in (1.0, 0.0))
    np.testing.assert_array_equal(through, beside)


def test_sharpening_is_its_formula_with_a_gaussian_out_to_three_deviations() -> None:
    image = np.random.default_rng(2).random((11, 13, 3), np.float32)
    taps = np.exp(-0.5 * (np.arange(-4, 5) / 1.3) ** 2)  # 3 · 1.3 pixels, rounded to 4
    blurred = np.pad(image.astype(np.float64), ((4, 4), (4, 4), (0, 0)), mode="reflect")
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, taps / taps.sum(), mode="valid")
    sharp = unsharp_mask(image, radius=1.3, amount=0.7)
    np.testing.assert_allclose(sharp, (image + 0.7 * (image - blurred)).clip(0, 1), atol=1e-5)
    assert sharp.dtype == np.float32


def test_variance_is_shot_times_light_plus_read():
    dark, bright = noise_of(0.5, 1e-3), noise_of(0.8, 1e-3)
    slope = (bright.var() - dark.var()) / (0.8**2.2 - 0.5**2.2)
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
