"""PSNR, SSIM and PSNR-B against definitions written out slowly, and each convention's particulars."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.degradations.color import to_y
from pipeline.metrics.convention import MetricConvention
from pipeline.metrics.psnr_b import blocking_effect, psnr_b
from pipeline.metrics.psnr_ssim import psnr, ssim

RGB, GRAY, LUMA = (MetricConvention(channel=c) for c in ("rgb", "gray", "y"))


def pair(height: int, width: int, channels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth 8-bit image and a noisy restoration of it that leaves [0, 1] in places."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 9.0
    waves = [0.5 + 0.5 * np.sin(rows * (c + 1) + columns + c) for c in range(channels)]
    gt = np.rint(np.stack(waves, axis=2) * 255) / 255
    restored = gt + 0.06 * rng.standard_normal(gt.shape)
    return restored.astype(np.float32), gt.astype(np.float32)


def levels(image: np.ndarray) -> np.ndarray:
    # In float32, as the pixels of a saved file are computed: a product may fall on the other side of a half there.
    return np.rint(np.clip(image, 0, 1) * np.float32(255)).astype(np.float64)


def slow_ssim(a: np.ndarray, b: np.ndarray, same: bool) -> float:
    """Wang et al. 2004, one window at a time; zeros around the image for "same"."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    if same:
        a, b = np.pad(a, 5), np.pad(b, 5)
    values = []
    for row in range(5, a.shape[0] - 5):
        for column in range(5, a.shape[1] - 5):
            x = a[row - 5 : row + 6, column - 5 : column + 6]
            y = b[row - 5 : row + 6, column - 5 : column + 6]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            top = (2 * mx * my + 6.5025) * (2 * cov + 58.5225)
            values.append(top / ((mx**2 + my**2 + 6.5025) * (vx + vy + 58.5225)))
    return float(np.mean(values))


def test_psnr_of_a_known_error():
    gt = np.full((8, 8, 1), 100 / 255, np.float32)
    off = np.full((8, 8, 1), 110 / 255, np.float32)
    assert psnr(off, gt, GRAY) == pytest.approx(10 * math.log10(255**2 / 100))
    assert psnr(gt, gt, GRAY) == math.inf


def test_psnr_clips_and_rounds_the_restored_image():
    restored, gt = pair(20, 24, 3)
    error = np.mean((levels(restored) - levels(gt)) ** 2)
    assert psnr(restored, gt, RGB) == pytest.approx(10 * math.log10(255**2 / error))


def test_luma_comes_from_rounded_rgb_and_stays_unrounded():
    restored, gt = pair(20, 24, 3)
    y = [to_y((levels(image) / 255).astype(np.float32)).astype(np.float64) * 255 for image in (restored, gt)]
    assert psnr(restored, gt, LUMA) == pytest.approx(10 * math.log10(255**2 / np.mean((y[0] - y[1]) ** 2)), abs=1e-4)
    assert np.abs(y[0] - np.rint(y[0])).max() > 0.3


def test_figures_of_unrounded_images_are_of_their_clipped_values():
    restored, gt = pair(20, 24, 3)
    unrounded = [MetricConvention(channel=channel, rounded=False) for channel in ("rgb", "y")]
    error = np.mean((restored.astype(np.float64).clip(0, 1) - gt) ** 2)
    assert psnr(restored, gt, unrounded[0]) == pytest.approx(-10 * math.log10(error), abs=1e-9)
    assert psnr(restored, gt, unrounded[0]) != psnr(restored, gt, RGB)
    y = [image.clip(0, 1) @ np.array([65.481, 128.553, 24.966]) / 255 for image in (restored, gt)]
    error = np.mean((y[0] - y[1]) ** 2)
    assert psnr(restored, gt, unrounded[1]) == pytest.approx(-10 * math.log10(error), abs=1e-4)


def test_a_gray_image_is_its_own_luma_and_one_pixel_may_be_left():
    restored, gt = pair(5, 9, 1)
    assert psnr(restored, gt, LUMA) == psnr(restored, gt, GRAY)
    inner = psnr(restored[2:3, 2:7], gt[2:3, 2:7], LUMA)
    assert psnr(restored, gt, MetricConvention(channel="y", border=2)) == inner


def test_border_is_not_measured():
    restored, gt = pair(20, 24, 3)
    spoiled = restored.copy()
    spoiled[:3], spoiled[-3:], spoiled[:, :3], spoiled[:, -3:] = 0, 1, 1, 0
    cropped = MetricConvention(channel="y", border=3)
    assert psnr(spoiled, gt, cropped) == psnr(restored, gt, cropped) == psnr(restored[3:-3, 3:-3], gt[3:-3, 3:-3], LUMA)
    assert psnr(spoiled, gt, LUMA) < psnr(restored, gt, LUMA) - 3


@pytest.mark.parametrize("window", ["valid", "same"])
def test_ssim_equals_the_definition(window):
    restored, gt = pair(17, 14, 3)
    by_channel = [slow_ssim(levels(restored)[:, :, c], levels(gt)[:, :, c], window == "same") for c in range(3)]
    assert ssim(restored, gt, RGB, window=window) == pytest.approx(np.mean(by_channel), abs=1e-6)
    assert ssim(gt, gt, RGB, window=window) == pytest.approx(1.0)


def test_zero_padding_reads_higher_on_noise():
    restored, gt = pair(40, 40, 1)
    assert ssim(restored, gt, GRAY, window="same") > ssim(restored, gt, GRAY) + 1e-3


def test_blocking_effect_of_a_hand_made_grid():
    plane = np.zeros((16, 16))
    plane[:, 8:] = 4.0
    # 16 of the 32 pairs over the grid differ by 4; none of the other 448 differ.
    assert blocking_effect(plane) == pytest.approx(math.log2(8) / math.log2(16) * 16 * 16 / 32)
    shifted = np.zeros((16, 16))
    shifted[:, 5:] = 4.0
    assert blocking_effect(shifted) == 0.0


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (31, 23), (40, 24)])
def test_psnr_b_is_the_published_code_s_sum_over_pairs(size):
    """Yim and Bovik (2011), eqs. 4-9, pair by pair; boundary pairs are counted as the published tables' code does."""
    height, width = size
    restored, gt = pair(height, width, 1, seed=3)
    plane, truth = levels(restored)[:, :, 0], levels(gt)[:, :, 0]
    sums = {True: 0.0, False: 0.0}
    for row in range(height):
        for column in range(width):
            if column + 1 < width:
                sums[column % 8 == 7] += (plane[row, column] - plane[row, column + 1]) ** 2
            if row + 1 < height:
                sums[row % 8 == 7] += (plane[row, column] - plane[row + 1, column]) ** 2
    counted = height * (width // 8 - 1) + width * (height // 8 - 1)
    others = height * (width - 1) + width * (height - 1) - counted
    excess = sums[True] / counted - sums[False] / others
    effect = max(0, excess) * math.log2(8) / math.log2(min(size))
    assert blocking_effect(plane) == pytest.approx(effect)
    wanted = 10 * math.log10(255**2 / (np.mean((plane - truth) ** 2) + effect))
    assert psnr_b(restored, gt, GRAY) == pytest.approx(wanted)
    flat = np.full((*size, 1), 0.5, np.float32)
    assert psnr_b(flat, flat, GRAY) == math.inf


def test_psnr_b_punishes_blocks_in_the_restored_image_only():
    gt = np.full((32, 32, 1), 0.5, np.float32)
    blocky = gt + (np.arange(32) // 8 % 2 * 0.1).astype(np.float32)[None, :, None]
    assert psnr_b(blocky, gt, GRAY) < psnr(blocky, gt, GRAY) - 1
    assert psnr_b(gt, blocky, GRAY) == pytest.approx(psnr(gt, blocky, GRAY))


def test_psnr_b_averages_the_channels():
    restored, gt = pair(24, 32, 3)
    alone = [psnr_b(restored[:, :, c : c + 1], gt[:, :, c : c + 1], GRAY) for c in range(3)]
    assert psnr_b(restored, gt, RGB) == pytest.approx(np.mean(alone))


@pytest.mark.parametrize(
    ("shapes", "convention", "complaint"),
    [
        (((8, 8, 3), (8, 9, 3)), RGB, "must agree"),
        (((8, 8, 1), (8, 8, 1)), RGB, "8, 8, 1"),
        (((8, 8, 3), (8, 8, 3)), GRAY, "8, 8, 3"),
        (((8, 8, 3), (8, 8, 3)), MetricConvention(channel="y", border=4), "nothing left"),
    ],
)
def test_incomparable_images_are_refused(shapes, convention, complaint):
    restored, gt = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(ValueError, match=complaint):
        psnr(restored, gt, convention)


def test_small_images_and_unknown_windows_are_refused():
    small, large = np.zeros((10, 30, 1), np.float32), np.zeros((16, 16, 1), np.float32)
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(small, small, GRAY)
    assert [ssim(large[:11], large[:11], GRAY, window=window) for window in ("valid", "same")] == [1, 1]
    with pytest.raises(ValueError, match="unknown SSIM window 'full'"):
        ssim(large, large, GRAY, window="full")
    with pytest.raises(ValueError, match="at least 16x16"):
        psnr_b(small, small, GRAY)
    with pytest.raises(ValueError, match="border is 2, wanted 0"):
        psnr_b(large, large, MetricConvention(channel="gray", border=2))
