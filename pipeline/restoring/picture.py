"""An image file in memory: its pixels as the models take them, and all that a restored file must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.degradations.image import Image as Pixels
from pipeline.degradations.quantize import to_uint8

FileFormat = Literal["PNG", "JPEG", "TIFF", "WEBP"]


class UnusableImageError(Exception):
    """One file cannot be restored; the message says why, without the file's name."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """pixels: (H, W, C), C 1 or 3, RGB, in [0, 1], as stored (the EXIF orientation is a tag, not applied).

    alpha: (H, W) in [0, 1]. bits: per channel, 8 or 16. icc, exif: the file's profile and tags, as bytes.
    """

    pixels: Pixels
    alpha: Pixels | None
    bits: int
    file_format: FileFormat
    icc: bytes | None = None
    exif: bytes | None = None


def from_levels(levels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> tuple[Pixels, Pixels | None]:
    """Integer array (H, W) or (H, W, 1..4) to pixels and alpha; two and four channels end in alpha."""
    scaled = levels.reshape(*levels.shape[:2], -1).astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)
    if scaled.shape[2] in (2, 4):
        return np.ascontiguousarray(scaled[:, :, :-1]), np.ascontiguousarray(scaled[:, :, -1])
    return scaled, None


def to_levels(picture: Picture) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The inverse: rounded to the picture's bits, alpha last; (H, W) for plain gray."""
    planes = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha[:, :, None]]
    values = np.concatenate(planes, axis=2)
    values = values[:, :, 0] if values.shape[2] == 1 else values
    if picture.bits == 16:
        return np.rint(values.clip(0, 1) * np.float32(65535)).astype(np.uint16)
    return to_uint8(values)
