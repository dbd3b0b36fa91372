"""Scores of images as models are compared by them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.catalog import PSNR
from pipeline.scoring.harm import harm_point
from pipeline.scoring.record import RESTORED, Score, mean_psnr, means


def scored(figures: list[float], method: str = RESTORED) -> list[Score]:
    k = 16 if method == RESTORED else None
    return [Score(number, f"image{number}", method, k, {PSNR: figure}) for number, figure in enumerate(figures)]


def test_an_image_equal_to_the_truth_counts_sixty_decibels_where_models_are_compared() -> None:
    score = Score(index=0, key="a", method=RESTORED, k=16, values={"psnr_db": math.inf})
    assert score.psnr_db == 60
    assert mean_psnr([score], RESTORED) == 60


def test_the_mean_of_a_set_with_an_infinite_psnr_is_finite_and_one() -> None:
    scores = scored([math.inf, 30.0])
    (mean,) = means(scores)
    assert mean.psnr_db == mean.values[PSNR] == mean_psnr(scores, RESTORED) == 45.0
    assert mean.capped == 1
    assert harm_point("σ 2", [*scores, *scored([math.inf, 30.0], "input")], "input").input_db == 45.0
    assert scores[0].values[PSNR] == math.inf  # what is stored of an image is its own figure


def test_psnr_b_of_an_image_equal_to_the_truth_counts_the_same() -> None:
    (mean,) = means([Score(0, "a", "input", None, {PSNR: math.inf, "psnr_b_db": math.inf, "ssim_same": 1.0})])
    assert mean.values == {PSNR: 60.0, "ssim_same": 1.0, "psnr_b_db": 60.0}
    assert mean.capped == 1


@given(st.lists(st.floats(5, 60), min_size=1, max_size=6))
def test_figures_below_the_limit_are_averaged_as_they_are(figures: list[float]) -> None:
    (mean,) = means(scored(figures))
    assert mean.psnr_db == sum(figures) / len(figures)
    assert mean.capped == 0


def test_a_figure_that_is_no_number_stays_none() -> None:
    with pytest.raises(ValueError, match="no score of 'input'"):
        mean_psnr(scored([30.0]), "input")
    assert math.isnan(mean_psnr(scored([math.nan]), RESTORED))
