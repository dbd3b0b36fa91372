"""How long a scene stands: while it does, a stage's key-semantic dictionary may serve frame after frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import semanir
from pipeline.restoring.picture import Pixels

BLOCK = 16  # pixels of a side: over 256 of them noise of 25 levels leaves 1.6
CHANGE = 6.0  # gray levels (of 255) by which blocks differ on average when the scene is another


class Scene:
    """Says of each frame whether the dictionaries are still its scene's, and clears them where they are not.

    The rule: gray means over blocks of 16x16 pixels are compared with those of the frame whose dictionaries are kept.
    They are built anew when the mean of the absolute differences exceeds 6 gray levels of 255, and on every
    ``every``-th frame. Measured from that frame, not from the one before, so that a slow pan ends a scene too.
    """

    def __init__(self, dictionaries: semanir.Dictionaries, every: int) -> None:
        self._dictionaries, self._every = dictionaries, every
        self._first: npt.NDArray[np.float64] | None = None
        self._age = 0

    def restart(self) -> None:
        """Build anew on the next frame."""
        self._first = None

    def look(self, pixels: Pixels) -> bool:
        """The next frame, (H, W, C) in [0, 1]: whether its own dictionaries are built."""
        means = block_means(pixels)
        self._age += 1
        stands = (
            self._first is not None
            and self._first.shape == means.shape
            and self._age < self._every
            and float(np.abs(means - self._first).mean()) <= CHANGE
        )
        if not stands:
            self._first, self._age = means, 0
            self._dictionaries.clear()
        return not stands


def block_means(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Gray levels (0 to 255) of each block; blocks at the lower and right edge may be smaller."""
    gray = pixels.mean(axis=2, dtype=np.float64) * 255
    tops, lefts = (np.arange(0, side, BLOCK) for side in gray.shape)
    sums = np.add.reduceat(np.add.reduceat(gray, tops, axis=0), lefts, axis=1)
    heights, widths = (np.diff([*starts, side]) for starts, side in zip((tops, lefts), gray.shape, strict=True))
    return np.asarray(sums / (heights[:, None] * widths))
