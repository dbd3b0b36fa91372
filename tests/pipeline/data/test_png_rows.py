"""The fast PNG path gives Pillow's pixels, for every number of rows, and leaves what it cannot do to Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.data.images import decode_image, encode_image
from pipeline.data.png_rows import decode_plain_png, plain_png_shape
from pipeline.images.levels import UnusableImageError


def photo_like(height: int, width: int, channels: int) -> np.ndarray:
    """Smooth with some noise, so that the encoder uses all of PNG's filters."""
    rng = np.random.default_rng(height)
    ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[:, :, None] % 256
    return ((ramp + rng.integers(0, 9, (height, width, channels))) % 256).astype(np.uint8)


def pillow(data: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(1, 45))
def test_the_upper_rows_are_those_of_the_whole_image(height, width, channels, rows):
    data = encode_image(photo_like(height, width, channels))
    shape = plain_png_shape(data)
    assert shape == (height, width, channels)
    np.testing.assert_array_equal(decode_plain_png(data, shape), pillow(data))
    np.testing.assert_array_equal(decode_plain_png(data, shape, rows), pillow(data)[:rows])


def test_several_data_chunks_are_followed():
    data = encode_image(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    assert data.count(b"IDAT") > 1
    np.testing.assert_array_equal(decode_image(data, rows=120), pillow(data)[:120])


def with_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b")
    return _saved(Image.new("RGB", (4, 4)), pnginfo=info)


def _saved(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def upside_down() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    return _saved(Image.fromarray(photo_like(4, 4, 3)), exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        with_text(),
        upside_down(),
        _saved(Image.new("P", (4, 4))),
        _saved(Image.new("RGBA", (4, 4))),
        _saved(Image.new("I;16", (4, 4))),
        _saved(Image.new("1", (4, 4))),
        _saved(Image.new("RGB", (4, 4)), transparency=(0, 0, 0)),
        encode_image(photo_like(9, 9, 3))[:-14],
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_files_with_anything_else_in_them_are_not_plain(data):
    assert plain_png_shape(data) is None


def test_a_turned_png_is_still_turned():
    np.testing.assert_array_equal(decode_image(upside_down(), rows=1), photo_like(4, 4, 3)[::-1, ::-1])


def test_a_damaged_plain_file_is_a_bad_image():
    data = bytearray(encode_image(photo_like(60, 60, 3)))
    data[len(data) // 2] ^= 1
    assert plain_png_shape(bytes(data)) is not None
    with pytest.raises(UnusableImageError, match=r"damaged or not an image \(damaged PNG"):
        decode_image(bytes(data))
