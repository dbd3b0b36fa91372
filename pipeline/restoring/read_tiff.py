"""Read gray and RGB TIFF files of 8 or 16 bits, which Pillow would reduce to 8 bits, turn, or not know."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

from pipeline.restoring.picture import Picture, UnusableImageError, from_levels

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXTRA_SAMPLES, _ICC, _ORIENTATION = 338, 34675, 0x0112
_PREMULTIPLIED = 1


def is_tiff(file: BinaryIO) -> bool:
    """Whether the file begins as a TIFF or BigTIFF does; leaves it at its beginning."""
    magic = file.read(4)
    file.seek(0)
    return magic in _MAGIC


def read_tiff(source: BinaryIO, max_pixels: int) -> Picture | None:
    """The picture; None for kinds that Pillow reads well (palettes, bilevel, YCbCr, white-is-zero of 8 bits).

    Raises UnusableImageError for what is not supported; tifffile's exceptions for damaged files.
    """
    with tifffile.TiffFile(source) as file:
        page = file.pages.first
        if page.imagewidth * page.imagelength > max_pixels:
            raise UnusableImageError(
                f"{page.imagewidth}x{page.imagelength} is more than {max_pixels:,} pixels; "
                "raise --max-pixels if memory allows"
            )
        if len(file.pages) > 1:
            raise UnusableImageError(f"it holds {len(file.pages)} pages or frames; split it into single images")
        color = page.photometric == tifffile.PHOTOMETRIC.RGB
        gray = page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        if not (color or gray) or page.bitspersample < 8:
            if page.bitspersample > 8:
                raise UnusableImageError(
                    f"TIFF of kind {page.photometric!r} with {page.bitspersample} bits is not supported; "
                    "use gray or RGB"
                )
            return None
        if page.dtype not in (np.uint8, np.uint16):
            raise UnusableImageError(f"samples of {page.dtype} are not supported; use 8 or 16 bits")
        extra = page.tags.valueof(_EXTRA_SAMPLES, default=())
        alpha = page.samplesperpixel - (3 if color else 1)
        if alpha > 1 or _PREMULTIPLIED in (extra if isinstance(extra, tuple) else (extra,)):
            raise UnusableImageError("premultiplied alpha and further channels are not supported; use plain RGBA")
        levels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
            levels = np.moveaxis(levels, 0, 2)
        pixels, transparency = from_levels(np.ascontiguousarray(levels))
        return Picture(
            pixels=pixels,
            alpha=transparency,
            bits=levels.dtype.itemsize * 8,
            file_format="TIFF",
            icc=page.tags.valueof(_ICC),
            exif=_orientation(page.tags.valueof(_ORIENTATION)),
        )


def _orientation(value: int | None) -> bytes | None:
    if value in (None, 1):
        return None
    tags = Image.Exif()
    tags[_ORIENTATION] = int(value)
    return tags.tobytes()
