"""Read PNG, JPEG, TIFF and WebP files of 8 or 16 bits. Pillow does most; it reduces 16-bit color to 8 bits
silently, so those are decoded by imagecodecs (PNG) and tifffile (TIFF, in ``read_tiff``).
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.errors import first_line
from pipeline.restoring.picture import FileFormat, Picture, UnusableImageError, from_levels
from pipeline.restoring.read_tiff import is_tiff, read_tiff

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
DEFAULT_MAX_PIXELS = 200_000_000


def read_picture(source: Path | bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Decode a file, or the bytes of one.

    Raises UnusableImageError for a file that is damaged, too large, or of a kind not supported.

    Refused: animations and multi-page files, CMYK, Lab, floating-point and 32-bit samples, more than
    ``max_pixels`` pixels (checked before decoding).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
                return _read(file, max_pixels)
    except UnusableImageError:
        raise
    except Image.DecompressionBombError:
        raise UnusableImageError(f"more than {max_pixels:,} pixels; raise --max-pixels if memory allows") from None
    except UnidentifiedImageError:
        raise UnusableImageError("damaged or not an image: no PNG, JPEG, TIFF or WebP file") from None
    except MemoryError:
        raise UnusableImageError("not enough memory to decode it") from None
    except Exception as error:  # on damaged data decoders raise anything: struct.error, SyntaxError, their own
        raise UnusableImageError(f"damaged or not an image ({first_line(error)[:200]})") from None


def _read(file: BinaryIO, max_pixels: int) -> Picture:
    if is_tiff(file):
        picture = read_tiff(file, max_pixels)
        if picture is not None:
            return picture
        file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        _check(image, max_pixels)
        levels = _decode(image, file)
        pixels, alpha = from_levels(levels)
        return Picture(
            pixels=pixels,
            alpha=alpha,
            bits=16 if levels.dtype == np.uint16 else 8,
            file_format=cast(FileFormat, image.format),
            icc=image.info.get("icc_profile"),
            exif=_exif(image),
        )


def _check(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImageError(
            f"{width}x{height} is more than {max_pixels:,} pixels; raise --max-pixels if memory allows"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UnusableImageError(f"it holds {frames} pages or frames; split it into single images")


def _decode(image: Image.Image, file: BinaryIO) -> Any:
    """(H, W) or (H, W, 1..4), uint8 or uint16."""
    if image.format == "PNG" and _png_bits(file) == 16:
        import imagecodecs

        file.seek(0)
        return _native(imagecodecs.png_decode(file.read()))
    if image.mode in ("1", "P", "PA"):
        has_alpha = image.mode == "PA" or "transparency" in image.info
        return np.asarray(image.convert("L" if image.mode == "1" else "RGBA" if has_alpha else "RGB"))
    if image.mode in ("L", "RGB") and "transparency" in image.info:  # one color means transparent
        return np.asarray(image.convert("LA" if image.mode == "L" else "RGBA"))
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise UnusableImageError(f"{image.mode} images are not supported; convert it to gray or RGB, 8 or 16 bits")
    return np.asarray(image)


def _native(levels: Any) -> Any:
    return levels.astype(levels.dtype.newbyteorder("="), copy=False)


def _png_bits(file: BinaryIO) -> int:
    file.seek(0)
    return file.read(25)[24]  # signature 8, length 4, "IHDR" 4, width 4, height 4, bit depth


def _exif(image: Image.Image) -> bytes | None:
    if image.format == "TIFF":  # Pillow has turned the pixels, and its EXIF is the file's own directory
        return None
    exif = image.getexif()
    return exif.tobytes() if len(exif) else None
