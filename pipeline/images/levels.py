"""What the readers give: integer pixels as stored, and the pieces of the file that must travel with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.images.ifd import Directory

Levels = NDArray[np.uint8] | NDArray[np.uint16]


class UnusableImageError(Exception):
    """One file cannot be used; the message says why, without the file's name."""


class UnsupportedImageError(UnusableImageError):
    """The file is sound for all that is known, but of a kind that is not read: no sign of damage."""


class TooManyPixelsError(UnusableImageError):
    """The file states more pixels than are decoded; nothing of it was."""


@dataclass(frozen=True)
class Piece:
    """A part of a file beside its pixels, byte for byte: a PNG or WebP chunk by name, a JPEG segment as ``APPn``."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """levels: (H, W, C), C 1 to 4, over the whole range of their type; two and four channels end in alpha.

    Pixels are as stored: ``orientation``, EXIF's 1 to 8, says how a viewer turns them. file_format: as Pillow names it.
    quantization: a JPEG file's tables by number. pieces, directory: what travels. notes: what was assumed or left out,
    for a person to read.
    """

    levels: Levels
    file_format: str
    orientation: int = 1
    quantization: Mapping[int, Sequence[int]] | None = None
    pieces: tuple[Piece, ...] = ()
    directory: Directory | None = None
    notes: tuple[str, ...] = ()


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises TooManyPixelsError for more than ``max_pixels`` pixels, UnusableImageError for none."""
    if width < 1 or height < 1:
        raise UnusableImageError(f"damaged: it states a size of {width}x{height} pixels")
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"{width}x{height} is more than {max_pixels:,} pixels; raise --max-pixels if memory allows"
        )
