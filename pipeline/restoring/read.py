"""Read an image file as a picture to restore."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from pipeline.estimation.jpeg_quality import estimate_quality
from pipeline.images.read import RESTORED_FORMATS, decode, read_file
from pipeline.images.suffixes import suffixes_of
from pipeline.restoring.picture import FileFormat, Picture, from_levels

SUFFIXES = frozenset(suffixes_of(RESTORED_FORMATS))
DEFAULT_MAX_PIXELS = 200_000_000


def read_picture(source: Path | bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Decode a file, or the bytes of one.

    Raises UnusableImageError for a file that is damaged, too large, or of a kind not supported (see
    ``pipeline.images.read.decode``), or cannot be read.
    """
    data = source if isinstance(source, bytes) else read_file(source, max_pixels)
    decoded = decode(data, max_pixels, RESTORED_FORMATS)
    pixels, alpha = from_levels(decoded.levels)
    return Picture(
        pixels=pixels,
        alpha=alpha,
        bits=16 if decoded.levels.dtype == np.uint16 else 8,
        file_format=cast(FileFormat, decoded.file_format),
        pieces=decoded.pieces,
        directory=decoded.directory,
        jpeg_quality=estimate_quality(decoded.quantization),
        stored=pixels.shape[:2],
        notes=decoded.notes,
    )
