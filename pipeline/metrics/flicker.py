"""Flicker: how far the change from frame to frame is from the truth's change."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pipeline.degradations.image import Image


def flicker(restored: Sequence[Image], truth: Sequence[Image]) -> float:
    """Mean absolute error of the differences between neighboring frames, in gray levels (of 255).

    The mean over frames t >= 1, pixels and channels of ``|(r[t] - r[t-1]) - (g[t] - g[t-1])|``: 0 where the result
    moves as the truth does, whatever constant error it has. TecoGAN's temporal metrics compare the changes of both in
    the same way, in optical flow (tOF) and in a perceptual distance (tLP): M. Chu et al., "Learning temporal coherence
    via self-supervision for GAN-based video generation", ACM Trans. Graphics 39(4), 2020, section 5. This one takes the
    pixels themselves.

    Raises ValueError for fewer than two frames, or sequences of other lengths or sizes.
    """
    if len(restored) != len(truth) or len(restored) < 2:
        raise ValueError(f"flicker needs two frames or more of each, got {len(restored)} and {len(truth)}")
    shapes = {frame.shape for frame in (*restored, *truth)}
    if len(shapes) > 1:
        raise ValueError(f"flicker needs frames of one size, got {sorted(shapes)}")
    errors = [np.asarray(r, np.float64) - np.asarray(g, np.float64) for r, g in zip(restored, truth, strict=True)]
    changes = [np.abs(now - before).mean() for before, now in pairwise(errors)]
    return float(np.mean(changes)) * 255
