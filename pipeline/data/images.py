"""Encoded images to arrays and back, with a limit on what a small file may unfold to."""

from __future__ import annotations

import io
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.data.png import decode_plain_png, plain_png_shape

# Pillow's own "decompression bomb" limit: a quarter of a gigabyte as RGB.
MAX_PIXELS = 89_478_485
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
Codec = Literal["png", "webp"]


class BadImage(ValueError):
    """The bytes are no image that can be used; the message says why."""


def decode_image(
    data: bytes | memoryview, max_pixels: int = MAX_PIXELS, rows: int | None = None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The pixels as (H, W, C), C = 1 (gray) or 3 (RGB), upright.

    16-bit gray stays uint16; all else is uint8. Transparency is dropped, palettes and CMYK become RGB.

    Args:
        data: the file.
        max_pixels: the most that is decoded.
        rows: how many rows from the top are enough. Where that saves time, only those are returned.

    Raises:
        BadImage: not an image, cut short, of an unknown kind, or of more than ``max_pixels`` pixels
            (checked before any pixel is decoded).
    """
    try:
        shape = plain_png_shape(data)
        if shape is not None:
            _check_pixels(shape[1], shape[0], max_pixels)
            return decode_plain_png(data, shape, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_pixels(image.width, image.height, max_pixels)
        # draft-free full decode; Pillow raises on truncation
        upright = ImageOps.exif_transpose(image) if image.getexif().get(0x0112, 1) != 1 else image
        if upright.mode.startswith("I;16"):
            return np.asarray(upright, dtype=np.uint16)[:, :, None]
        if upright.mode in ("I", "F"):
            raise BadImage(f"pixels of mode {upright.mode!r} are not 8- or 16-bit")
        if upright.mode in ("1", "L", "LA"):
            return np.asarray(upright.convert("L"))[:, :, None]
        return np.asarray(upright.convert("RGB"))
    except BadImage:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BadImage(f"not a readable image: {error}") from error


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise BadImage(f"{width}x{height} is more than {max_pixels} pixels")


def encode_image(pixels: NDArray[np.uint8] | NDArray[np.uint16], codec: Codec = "png") -> bytes:
    """Losslessly encoded (H, W, C) pixels, C = 1 or 3.

    Raises:
        ValueError: 16-bit pixels as WebP, or 16-bit color, which neither this PNG writer nor WebP can hold.
    """
    channels = pixels.shape[2]
    if pixels.dtype == np.uint16 and (codec == "webp" or channels != 1):
        raise ValueError(f"16-bit images of {channels} channels cannot be stored as {codec}; use gray PNG or 8 bits")
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels))
    if codec == "png":
        image.save(buffer, "PNG", compress_level=6)
    else:
        image.save(buffer, "WEBP", lossless=True, exact=True)
    return buffer.getvalue()


def to_float(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float32]:
    """Integer pixels as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
