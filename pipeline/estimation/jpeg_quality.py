"""The quality factor with which a JPEG file was written, from the quantization table that it carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

# ITU-T T.81 (1992), table K.1: luminance, which libjpeg scales by the quality factor.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


@cache
def _sums() -> tuple[int, ...]:
    """The sum of the luminance table at each quality 1..100, scaled as libjpeg's ``jpeg_set_quality`` does."""
    sums = []
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        sums.append(int(np.clip((_LUMINANCE * scale + 50) // 100, 1, 255).sum()))
    return tuple(sums)


def estimate_quality(tables: Mapping[int, Sequence[int]] | None) -> int | None:
    """The factor (1..100) whose standard table is as coarse as the file's.

    Exact for files of libjpeg and what is built on it; for a camera's own tables the nearest in coarseness. Only sums
    are compared, so the order of a table's 64 entries does not matter.

    Args:
        tables: the quantization tables by number, as Pillow's ``image.quantization`` gives them; table 0 is luminance.

    Returns:
        None without a table of 64 entries: not a JPEG file.
    """
    luminance = (tables or {}).get(0)
    if luminance is None or len(luminance) != 64:
        return None
    total = sum(luminance)
    distances = [abs(total - known) for known in _sums()]
    return 1 + distances.index(min(distances))
