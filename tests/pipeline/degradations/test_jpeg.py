from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from pipeline.degradations.jpeg import jpeg


def test_equals_a_file_saved_and_read(photo, generator):
    file = BytesIO()
    # subsampling=2 is Pillow's number for 4:2:0.
    PIL.Image.fromarray((photo * 255).round().astype(np.uint8)).save(file, "JPEG", quality=10, subsampling=2)
    saved = np.asarray(PIL.Image.open(file), np.float32) / 255
    np.testing.assert_array_equal(jpeg(photo, generator(0), (10, 10)), saved)


@pytest.mark.parametrize(("named", "number"), [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
def test_chroma_is_kept_as_the_caller_says(photo, generator, named, number):
    file = BytesIO()
    PIL.Image.fromarray((photo * 255).round().astype(np.uint8)).save(file, "JPEG", quality=60, subsampling=number)
    saved = np.asarray(PIL.Image.open(file), np.float32) / 255
    np.testing.assert_array_equal(jpeg(photo, generator(0), (60, 60), named), saved)


def test_gray_equals_a_file_saved_and_read_too(gray_ramp, generator):
    file = BytesIO()
    PIL.Image.fromarray((gray_ramp[:, :, 0] * 255).round().astype(np.uint8)).save(file, "JPEG", quality=10)
    saved = np.asarray(PIL.Image.open(file), np.float32)[:, :, None] / 255
    np.testing.assert_array_equal(jpeg(gray_ramp, generator(0), (10, 10)), saved)


def test_gray_stays_one_channel(gray_ramp, generator):
    out = jpeg(gray_ramp, generator(0), (40, 40))
    assert out.shape == gray_ramp.shape
    assert out.dtype == np.float32
    assert 0 < np.abs(out - gray_ramp).max() < 0.1


def test_lower_quality_loses_more(photo, generator):
    errors = [np.square(jpeg(photo, generator(0), (q, q)) - photo).mean() for q in (10, 20, 40, 90)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 3 * errors[-1]


def test_a_range_reaches_both_of_its_ends(photo, generator):
    ends = [jpeg(photo, generator(0), (q, q)).tobytes() for q in (10, 12)]
    rng = generator(1)
    drawn = [jpeg(photo, rng, (10, 12)).tobytes() for _ in range(30)]
    assert set(ends) <= set(drawn)
    assert len(set(drawn)) == 3


def test_values_outside_the_unit_interval_are_clipped_first(generator):
    out = jpeg(np.full((8, 8, 1), 1.7, np.float32), generator(0), (95, 95))
    np.testing.assert_allclose(out, 1.0, atol=2 / 255)


def test_wrong_layout_is_refused(generator):
    with pytest.raises(ValueError, match=r"shape \(8, 8\)"):
        jpeg(np.zeros((8, 8), np.float32), generator(0), (10, 10))
    with pytest.raises(ValueError, match="dtype float64"):
        jpeg(np.zeros((8, 8, 1)), generator(0), (10, 10))
