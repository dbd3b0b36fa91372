from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.images import decode_image, encode_image, to_float
from pipeline.images.levels import UnusableImageError


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.sampled_from(["png", "webp"]))
@settings(deadline=None, max_examples=40)
def test_encoding_is_lossless(height, width, channels, codec):
    pixels = np.random.default_rng(height * 10 + width).integers(0, 256, (height, width, channels), dtype=np.uint8)
    decoded = decode_image(encode_image(pixels, codec))
    expected = np.repeat(pixels, 3, axis=2) if codec == "webp" and channels == 1 else pixels
    np.testing.assert_array_equal(decoded, expected)


def test_sixteen_bit_gray_keeps_its_depth():
    pixels = np.array([[[0], [1]], [[40_000], [65_535]]], dtype=np.uint16)
    decoded = decode_image(encode_image(pixels))
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, pixels)
    assert to_float(decoded).max() == 1.0
    with pytest.raises(ValueError, match="16-bit images of 1 channels cannot be stored as webp"):
        encode_image(pixels, "webp")


def test_modes_become_gray_or_rgb():
    rgb = Image.new("RGB", (4, 2), (255, 0, 128))
    for mode, channels in (("L", 1), ("LA", 1), ("1", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)):
        assert decode_image(encoded(rgb.convert(mode))).shape == (2, 4, channels), mode
    assert decode_image(encoded(rgb.convert("CMYK"), "JPEG")).shape == (2, 4, 3)


def test_a_rotated_photograph_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(encoded(Image.new("RGB", (8, 4)), "JPEG", exif=exif)).shape == (8, 4, 3)


def test_a_huge_image_is_refused_before_it_is_decoded():
    small_file = encoded(Image.new("L", (5_000, 5_000)))
    assert len(small_file) < 100_000
    with pytest.raises(UnusableImageError, match="5000x5000 is more than 1,000,000 pixels"):
        decode_image(small_file, max_pixels=1_000_000)


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[: len(d) // 2], lambda d: b"\x80\x04" + d])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_broken_files_are_bad_images(damage, kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(UnusableImageError, match="damaged or not an image"):
        decode_image(damage(encoded(Image.fromarray(noise), kind)))
