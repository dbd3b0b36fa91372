from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, Philox
from skimage.color import rgb2ycbcr

from pipeline.degradations.color import to_gray, to_rgb, to_y
from pipeline.degradations.image import check_image
from pipeline.degradations.noise import clipped_and_truncated
from pipeline.degradations.quantize import from_uint8, quantize, to_uint8
from pipeline.degradations.ranges import draw, draw_int, middle, mild_tenth, spared
from pipeline.degradations.resize import bicubic_down, bicubic_up, resize


def test_luma_is_matlabs(photo):
    np.testing.assert_allclose(to_y(photo)[:, :, 0] * 255, rgb2ycbcr(photo)[:, :, 0], atol=1e-3)
    ends = to_y(np.array([[[0, 0, 0], [1, 1, 1]]], np.float32))[0, :, 0] * 255
    np.testing.assert_allclose(ends, [16, 235], atol=1e-4)


def test_gray_is_rounded_luma(photo):
    levels = to_gray(photo) * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    assert np.abs(levels - to_y(photo) * 255).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(to_gray(to_gray(photo)), to_gray(photo))


def test_gray_repeats_to_rgb(gray_ramp):
    assert to_rgb(gray_ramp).shape == (32, 32, 3)
    np.testing.assert_array_equal(to_rgb(gray_ramp)[:, :, 2:], gray_ramp)


def test_conversions_are_in_single_precision(photo, gray_ramp):
    for image in (photo, gray_ramp):
        converted = (to_y(image), to_gray(image), to_rgb(image), quantize(image), clipped_and_truncated(image))
        assert [each.dtype for each in converted] == [np.float32] * 5
        assert [each.shape[2] for each in converted[:3]] == [1, 1, 3]
    assert to_uint8(photo).dtype == np.uint8


@pytest.mark.parametrize(
    ("image", "channels", "said"),
    [
        (np.zeros((8, 8), np.float32), (1, 3), r"shape \(8, 8\); wanted \(height, width, 1 or 3\), not empty"),
        (np.zeros((1, 8, 8, 3), np.float32), (1, 3), r"shape \(1, 8, 8, 3\)"),
        (np.zeros((8, 8, 2), np.float32), (1, 3), r"shape \(8, 8, 2\)"),
        (np.zeros((8, 8, 3), np.float32), (1,), r"wanted \(height, width, 1\)"),
        (np.zeros((0, 8, 3), np.float32), (1, 3), r"shape \(0, 8, 3\)"),
        (np.zeros((8, 0, 1), np.float32), (1, 3), r"shape \(8, 0, 1\)"),
        (np.zeros((8, 8, 3), np.float64), (1, 3), "dtype float64; wanted float32"),
        (np.zeros((8, 8, 3), np.uint8), (1, 3), "dtype uint8"),
    ],
    ids=str,
)
def test_what_is_no_image_is_refused(image, channels, said):
    with pytest.raises(ValueError, match=said):
        check_image(image, channels)


def test_one_pixel_is_an_image():
    check_image(np.zeros((1, 1, 1), np.float32))
    check_image(np.zeros((1, 1, 3), np.float32), (3,))


def test_every_8_bit_level_survives():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(to_uint8(from_uint8(levels)), levels)


def test_rounding_clips():
    values = np.array([-0.3, 0.0019, 0.0021, 1.2], np.float32).reshape(1, 4, 1)
    np.testing.assert_allclose(quantize(values).ravel() * 255, [0, 0, 1, 255], atol=1e-4)


@given(st.integers(0, 2**63), st.integers(-5, 5), st.integers(0, 5))
def test_draws_stay_in_their_range(seed, low, width):
    rng = Generator(Philox(key=seed))
    assert low <= draw(rng, (low, low + width)) <= low + width
    assert low <= draw_int(rng, (low, low + width)) <= low + width


def test_integer_draws_are_even_and_fixed_ranges_take_a_draw_too(generator):
    rng = generator(0)
    counts = np.bincount([draw_int(rng, (0, 3)) for _ in range(4000)])
    assert counts.size == 4
    assert counts.min() > 850
    fixed, ranged = generator(1), generator(1)
    assert draw(fixed, (2.5, 2.5)) == 2.5
    draw(ranged, (0.0, 9.0))
    assert fixed.random() == ranged.random()


def test_the_spared_share_takes_a_draw_only_where_there_is_one(generator):
    rng = generator(2)
    assert sum(spared(rng, 0.3) for _ in range(4000)) == pytest.approx(1200, abs=100)
    assert spared(rng, 1.0)
    for share in (None, 0.0):
        drawn, untouched = generator(3), generator(3)
        assert not spared(drawn, share)
        assert drawn.random() == untouched.random()


def test_the_mild_tenth_takes_a_draw_only_where_there_is_a_share(generator):
    assert mild_tenth(generator(1), (0.0, 50.0), 1.0, mildest=0) == (0.0, 5.0)
    assert mild_tenth(generator(1), (10, 100), 1.0, mildest=1) == (91.0, 100)
    drawn, untouched = generator(3), generator(3)
    assert mild_tenth(drawn, (10, 100), None, mildest=1) == (10, 100)
    assert drawn.random() == untouched.random()
    taken = [mild_tenth(drawn, (0.0, 1.0), 0.25, mildest=0)[1] < 1 for _ in range(4000)]
    assert sum(taken) == pytest.approx(1000, abs=100)


def test_the_middle_of_a_range():
    assert middle((1.0, 4.0)) == 2.5
    assert middle((3.0, 3.0)) == 3.0


def test_truncation_cuts_the_decimals_of_clipped_levels():
    values = np.array([-3.0, 0.0, 0.999, 1.0, 24.9, 254.99, 255.0, 300.0], np.float32).reshape(2, 4, 1) / 255
    levels = clipped_and_truncated(values + np.float32(1e-7)) * 255
    np.testing.assert_allclose(levels.ravel(), [0, 0, 0, 1, 24, 254, 255, 255], atol=1e-4)


def test_shrinking_is_linear_light_preserving_and_on_the_8_bit_grid(photo):
    small = bicubic_down(photo, 2)
    assert small.shape == (32, 40, 3)
    np.testing.assert_allclose(small * 255, np.rint(small * 255), atol=1e-4)
    assert small.mean() == pytest.approx(photo.mean(), abs=0.003)
    assert bicubic_up(small, 2).shape == photo.shape


def test_resize_keeps_channels_apart():
    image = np.zeros((12, 12, 3), np.float32)
    image[:, :, 1] = 0.5
    resized = resize(image, 5, 7)
    np.testing.assert_allclose(resized[:, :, 1], 0.5, atol=1e-6)
    np.testing.assert_array_equal(resized[:, :, [0, 2]], 0)


@pytest.mark.parametrize(("height", "width"), [(64, 80), (63, 80), (64, 78)])
def test_indivisible_sides_are_refused(photo, height, width):
    with pytest.raises(ValueError, match=f"{height}x{width} is not a multiple of the scale 3"):
        bicubic_down(photo[:height, :width], 3)
    assert bicubic_down(photo[:63, :78], 3).shape == (21, 26, 3)


def test_enlarging_repeats_a_flat_part_and_rounds():
    levels = bicubic_up(np.full((3, 4, 3), 0.31, np.float32), 3) * 255
    assert levels.shape == (9, 12, 3)
    np.testing.assert_allclose(levels, 79, atol=1e-4)  # of 79.05
