"""Scores of images as models are compared by them."""

from __future__ import annotations

import math

from pipeline.scoring.record import RESTORED, Score, mean_psnr


def test_an_image_equal_to_the_truth_counts_sixty_decibels_where_models_are_compared() -> None:
    score = Score(index=0, key="a", method=RESTORED, k=16, values={"psnr_db": math.inf})
    assert score.psnr_db == 60
    assert mean_psnr([score], RESTORED) == 60
