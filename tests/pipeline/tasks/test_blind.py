"""Blind training: clean images among the others, and one model for all degradations."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator, Philox
from skimage import data

from pipeline.degradations.bayer import demosaic_malvar, mosaic
from pipeline.degradations.quantize import from_uint8
from pipeline.degradations.resize import bicubic_down, bicubic_up
from pipeline.degradations.soft import soft_reach, soften
from pipeline.tasks import TASKS
from pipeline.tasks.unified import DEGRADATIONS, choose, enlarged, reach

PHOTO = from_uint8(data.astronaut()[40:104, 120:192])
SPARING = ("denoising_color", "denoising_gray", "jpeg_color", "jpeg_gray", "deblurring", "weather", "photo")


def degraded(task: str, seed: int, **values: object) -> tuple[np.ndarray, np.ndarray]:
    gt = TASKS[task].to_gt_channels(PHOTO)
    return gt, TASKS[task].degrade(gt, Generator(Philox(key=seed)), TASKS[task].parse_settings(values))


@pytest.mark.parametrize("task", SPARING)
def test_the_share_of_clean_images_is_kept(task):
    kept = sum(np.array_equal(*degraded(task, seed, clean_share=0.3)) for seed in range(60))
    assert 0.1 < kept / 60 < 0.5
    assert np.array_equal(*degraded(task, 0, clean_share=1))


@pytest.mark.parametrize("task", SPARING[:-1])
def test_a_share_of_nothing_degrades_as_before_it_existed(task):
    for seed in range(3):
        np.testing.assert_array_equal(degraded(task, seed)[1], degraded(task, seed, clean_share=0)[1])


@pytest.mark.parametrize(("task", "most"), [("denoising_color", 5.5), ("jpeg_gray", 5)])
def test_a_mild_share_of_all_leaves_good_pictures(task, most):
    """σ of 5 at most, JPEG of 91 at least: neither changes a picture by more than some levels."""
    whole = {"sigma": [0, 50]} if task == "denoising_color" else {"quality": [10, 100]}
    for seed in range(8):
        gt, lq = degraded(task, seed, mild_share=1, **whole)
        assert 255 * (lq - gt).std() < most
    np.testing.assert_array_equal(degraded(task, 1, **whole)[1], degraded(task, 1, mild_share=0, **whole)[1])


def test_truncated_noise_loses_half_a_level_and_never_leaves_the_range():
    _, free = degraded("denoising_color", 1, sigma=25)
    _, saved = degraded("denoising_color", 1, sigma=25, saved_as="truncated_uint8")
    assert free.min() < 0 <= saved.min()
    np.testing.assert_allclose(saved * 255, np.rint(saved * 255), atol=1e-4)
    lost = 255 * (free - saved)[(free > 0) & (free < 1)]
    assert -1e-3 <= lost.min() <= lost.max() < 1 + 1e-3
    assert lost.mean() == pytest.approx(0.5, abs=0.02)


@given(
    weights=st.dictionaries(st.sampled_from(sorted(DEGRADATIONS)), st.integers(0, 5)).filter(lambda w: sum(w.values())),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=50)
def test_a_weight_of_zero_never_comes_and_the_order_of_the_mapping_does_not_matter(weights, seed):
    name = choose(Generator(Philox(key=seed)), weights)
    assert weights[name] > 0
    assert choose(Generator(Philox(key=seed)), dict(reversed(weights.items()))) == name


def test_degradations_come_by_their_weights():
    rng, weights = Generator(Philox(key=0)), {"clean": 1, "jpeg": 2, "weather": 5}
    counts = Counter(choose(rng, weights) for _ in range(4000))
    for name, weight in weights.items():
        assert counts[name] / 4000 == pytest.approx(weight / 8, abs=0.03)


def test_the_unified_input_is_each_task_s_own_network_input():
    gt, lq = degraded("unified_color", 0, weights={"demosaicking": 1})
    np.testing.assert_array_equal(lq, demosaic_malvar(mosaic(gt)))
    gt, lq = degraded("unified_color", 0, weights={"sr_x4": 1})
    np.testing.assert_array_equal(lq, bicubic_up(bicubic_down(gt, 4), 4))
    gt, lq = degraded("unified_gray", 0, weights={"clean": 1})
    np.testing.assert_array_equal(lq, gt)


@pytest.mark.parametrize(("name", "least_db"), [("mild_denoising", 33), ("mild_jpeg", 30), ("soft", 25)])
def test_mild_ends_are_mild_and_without_weight_by_default(name, least_db):
    assert name not in TASKS["unified_color"].parse_settings().model_dump()["weights"]
    pairs = [degraded("unified_color", seed, weights={name: 1}) for seed in range(12)]
    errors = [float(((gt - lq) ** 2).mean()) for gt, lq in pairs]
    assert -10 * np.log10(max(errors)) > least_db
    assert min(errors) < max(errors) / 3


def test_softening_keeps_flat_parts_and_the_mean_and_nothing_of_nothing():
    rng = Generator(Philox(key=0))
    np.testing.assert_array_equal(soften(PHOTO, rng, (0, 0)), PHOTO)
    soft = soften(PHOTO, rng, (0.8, 0.8))
    assert soft.dtype == np.float32
    assert soft.mean() == pytest.approx(PHOTO.mean(), abs=2e-3)
    assert np.abs(np.diff(soft, axis=0)).mean() < 0.9 * np.abs(np.diff(PHOTO, axis=0)).mean()
    impulse = np.zeros((41, 41, 1), np.float32)
    impulse[20, 20] = 1
    touched = np.flatnonzero(soften(impulse, rng, (1.5, 1.5))[20, :, 0])
    assert 20 - touched.min() == touched.max() - 20 == soft_reach((0, 1.5)) == 6


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_enlarging_keeps_sizes_that_the_scale_does_not_divide(scale):
    assert enlarged(PHOTO[:61, :47], scale).shape == (61, 47, 3)


def test_the_margin_is_the_blur_s_and_a_multiple_of_sixteen():
    task = TASKS["unified_color"]
    assert reach(task.parse_settings()) == 16
    assert reach(task.parse_settings({"deblurring": {"max_size": 51}})) == 32
    assert reach(task.parse_settings({"weights": {"jpeg": 1}})) == 0
    assert reach(task.parse_settings({"weights": {"soft": 1}, "soft": [0, 5]})) == 32


def test_ordinary_pictures_are_often_nearly_whole_and_seldom_ruined():
    errors = [float(((gt - lq) ** 2).mean()) for gt, lq in (degraded("photo", seed) for seed in range(80))]
    psnr = -10 * np.log10(np.maximum(errors, 1e-10))
    assert (psnr > 40).mean() > 0.15
    assert (psnr < 20).mean() < 0.1
    assert np.median(psnr) < 36
