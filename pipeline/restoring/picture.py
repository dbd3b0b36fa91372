"""An image file in memory: its pixels as the models take them, and all that a restored file must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.degradations.image import Image as Pixels
from pipeline.degradations.quantize import to_uint8
from pipeline.images.ifd import Directory
from pipeline.images.levels import Levels, Piece, UnusableImageError

__all__ = ["FileFormat", "Picture", "Pixels", "UnusableImageError", "from_levels", "to_levels"]

FileFormat = Literal["PNG", "JPEG", "TIFF", "WEBP"]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """pixels: (H, W, C), C 1 or 3, RGB, in [0, 1], as stored (the EXIF orientation is a tag, not applied).

    alpha: (H, W) in [0, 1]. bits: per channel, 8 or 16. pieces, directory: profile, tags and text, byte for byte.
    jpeg_quality: the factor (1 to 100) that a JPEG file's tables tell, None for other formats.
    stored: (height, width) of the file that was read, None for a picture of no file. notes: what was assumed of that
    file, or left out of it.
    """

    pixels: Pixels
    alpha: Pixels | None
    bits: int
    file_format: FileFormat
    pieces: tuple[Piece, ...] = ()
    directory: Directory | None = None
    jpeg_quality: int | None = None
    stored: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


def from_levels(levels: Levels) -> tuple[Pixels, Pixels | None]:
    """Integer array (H, W) or (H, W, 1..4) to pixels and alpha; two and four channels end in alpha."""
    scaled = levels.reshape(*levels.shape[:2], -1).astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
    if scaled.shape[2] in (2, 4):
        return np.ascontiguousarray(scaled[:, :, :-1]), np.ascontiguousarray(scaled[:, :, -1])
    return scaled, None


def to_levels(picture: Picture) -> Levels:
    """The inverse: rounded to the picture's bits, alpha last; (H, W) for plain gray."""
    planes = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha[:, :, None]]
    values = np.concatenate(planes, axis=2)
    values = values[:, :, 0] if values.shape[2] == 1 else values
    if picture.bits == 16:
        return np.rint(values.clip(0, 1) * np.float32(65535)).astype(np.uint16)
    return to_uint8(values)
