"""Making small changes with caution: where a model would alter a picture hardly at all, it makes only a share of it.

A blind model cannot know whether the last trace of grain is noise or the truth: what it takes away from a nearly good
picture is part noise n, part truth t. The whole change leaves the error t², none leaves n², and a share s leaves
s²·t² + (1 - s)²·n²: half of it is at most a quarter of both together, so it harms only where the model takes more than
three times as much truth as noise. Strong changes, which are mostly right, are made whole. It is the shrinkage of
W. James and C. Stein, "Estimation with quadratic loss", Proc. Berkeley Symposium 1, 1961, by the energy around a pixel.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import avg_pool2d

REACH = 16  # pixels on each side: half of the tiles' default overlap, so that tiles agree
# Gray levels are counted in fours, so that squares of a change of a tenth of one and of all 255 both fit float16.
UNIT = 4.0
LEAST_ENERGY = 1e-4  # a square root has no slope at zero


class Caution(NamedTuple):
    """Which share of a change is made: ``share`` up to ``low``, all of it from ``high`` on, in proportion between.

    low, high: root mean square of the change over the channels and the 33 x 33 pixels around, 8-bit gray levels.
    """

    share: float
    low: float
    high: float

    def check(self) -> None:
        """Raises ValueError unless 0 <= share <= 1 and 0 <= low < high <= 255."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"caution's share must lie in 0..1, got {self.share:g}")
        if not 0 <= self.low < self.high <= 255:
            raise ValueError(
                f"caution's gray levels must be 0 <= low < high <= 255, got {self.low:g} and {self.high:g}"
            )


def cautious(change: Tensor, caution: Caution) -> Tensor:
    """The part of ``change`` (B, C, H, W; image units, 1 is white) that is made."""
    energy = (change * (255.0 / UNIT)).square().mean(1, keepdim=True)
    around = 2 * REACH + 1  # the mean over a square is the mean of its rows' means, which costs far less
    rows = avg_pool2d(energy, (1, around), 1, (0, REACH), count_include_pad=False)
    mean = avg_pool2d(rows, (around, 1), 1, (REACH, 0), count_include_pad=False)
    level = mean.clamp_min(LEAST_ENERGY).sqrt() * UNIT
    whole = ((level - caution.low) / (caution.high - caution.low)).clamp(0, 1)
    return change * (caution.share + (1 - caution.share) * whole)
