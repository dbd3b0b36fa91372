"""Encoded images to arrays and back, with a limit on what a small file may unfold to."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data.png_rows import decode_plain_png, plain_png_shape
from pipeline.images.levels import Levels, UnusableImageError, check_pixels
from pipeline.images.read import decode
from pipeline.images.suffixes import suffixes_of

# A quarter of a gigabyte as RGB: Pillow's own limit for "decompression bombs".
MAX_PIXELS = 89_478_485
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")
SUFFIXES = suffixes_of(FORMATS)
Codec = Literal["png", "webp"]


def decode_image(data: bytes | memoryview, max_pixels: int = MAX_PIXELS, rows: int | None = None) -> Levels:
    """The pixels as (H, W, C), C = 1 (gray) or 3 (RGB), upright.

    More than 8 bits become uint16 over its whole range; all else is uint8. Transparency is dropped, palettes
    and CMYK become RGB.

    Args:
        data: the file.
        max_pixels: the most that is decoded.
        rows: how many rows from the top are enough. Where that saves time, only those are returned.

    Raises:
        UnusableImageError: not an image, cut short, or of more than ``max_pixels`` pixels (checked before any pixel
            is decoded); UnsupportedImageError, one of those, for a sound file of a kind that is not read.
    """
    return decode_noted(data, max_pixels, rows)[0]


def decode_noted(
    data: bytes | memoryview, max_pixels: int = MAX_PIXELS, rows: int | None = None
) -> tuple[Levels, tuple[str, ...]]:
    """As ``decode_image``, with what was assumed of the file or left out of it.

    Raises:
        UnusableImageError: as ``decode_image``.
    """
    try:
        shape = plain_png_shape(data)
        if shape is not None:
            check_pixels(shape[1], shape[0], max_pixels)
            return decode_plain_png(data, shape, rows), ()
        decoded = decode(data, max_pixels, FORMATS, accept_cmyk=True)
    except ValueError as error:
        raise UnusableImageError(f"damaged or not an image ({error})") from error
    channels = decoded.levels.shape[2]
    levels: Any = decoded.levels[:, :, : channels - 1] if channels in (2, 4) else decoded.levels
    notes = (*decoded.notes, "transparency is dropped") if channels in (2, 4) else decoded.notes
    return turn(levels, decoded.orientation), notes


def turn(levels: Any, orientation: int) -> Levels:
    """Pixels (H, W, C) as a viewer shows them, by EXIF's orientation 1 to 8 (EXIF 2.3, section 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        levels = levels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        levels = levels[::-1]
    upright: Levels = np.ascontiguousarray(levels)
    return upright


def encode_image(pixels: NDArray[np.uint8] | NDArray[np.uint16], codec: Codec = "png") -> bytes:
    """Losslessly encoded (H, W, C) pixels, C = 1 or 3.

    Raises:
        ValueError: 16-bit pixels as WebP, which has 8 bits.
    """
    channels = pixels.shape[2]
    if pixels.dtype == np.uint16 and codec == "webp":
        raise ValueError(f"16-bit images of {channels} channels cannot be stored as webp; use png")
    plain = np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels)
    if pixels.dtype == np.uint16:
        import imagecodecs

        return bytes(imagecodecs.png_encode(plain, level=6))  # Pillow writes no 16-bit color
    buffer = io.BytesIO()
    image = Image.fromarray(plain)
    if codec == "png":
        image.save(buffer, "PNG", compress_level=6)
    else:
        image.save(buffer, "WEBP", lossless=True, exact=True)
    return buffer.getvalue()


def to_float(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float32]:
    """Integer pixels as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
