"""Held-out scores for cards in tests."""

from __future__ import annotations

from pipeline.metrics.catalog import PSNR
from pipeline.scoring.record import RESTORED, Score


def held_out(*figures: tuple[str, float, float], baseline: str = "input") -> tuple[Score, ...]:
    """Scores of images given as (key, baseline's PSNR, restored PSNR) in dB."""
    return tuple(
        Score(index, key, method, None, {PSNR: psnr})
        for index, (key, before, after) in enumerate(figures)
        for method, psnr in ((baseline, before), (RESTORED, after))
    )
