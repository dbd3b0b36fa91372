"""Harm: what the curve says of scores, and when one curve is worse than another."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.catalog import PSNR
from pipeline.scoring.harm import Harm, HarmPoint, decode_harm, harm_point, harms_more
from pipeline.scoring.record import RESTORED, Score


def scores(*figures: tuple[float, float]) -> list[Score]:
    return [
        Score(index, f"image{index}", method, k, {PSNR: value})
        for index, pair in enumerate(figures)
        for method, k, value in zip(("input", RESTORED), (None, 8), pair, strict=True)
    ]


def curve(*changes: tuple[float, float], images: str = "a set") -> Harm:
    return Harm(images, tuple(HarmPoint(f"σ {n}", mean, worst, "x", 30.0) for n, (mean, worst) in enumerate(changes)))


def test_a_point_is_the_mean_change_and_the_worst_image() -> None:
    point = harm_point("σ 2", scores((30.0, 31.0), (40.0, 36.5), (20.0, 26.0)), "input")
    assert (point.mean_db, point.worst_db, point.worst_key) == (pytest.approx(3.5 / 3), -3.5, "image1")
    assert point.input_db == 30.0


def test_an_image_with_nothing_wrong_counts_sixty_dB() -> None:
    point = harm_point("nothing wrong", scores((math.inf, 47.0), (math.inf, math.inf)), "input")
    assert (point.mean_db, point.worst_db, point.input_db) == (-6.5, -13.0, 60.0)
    assert point.kept_db == 53.5
    assert Harm("a", (point,)).describe() == [
        "| strength | as it was (dB) | restored (dB) | change, mean (dB) | worst image (dB) | which |",
        "|---|---:|---:|---:|---:|---|",
        "| nothing wrong | nothing wrong | 53.50 | -6.50 | -13.00 | image0 |",
        "",
        "An image counts 60 dB at most, one with nothing wrong exactly that.",
    ]


def test_a_tag_is_read_as_it_was_written() -> None:
    harm = curve((0.125, -0.25), (-1.5, -3.0))
    assert decode_harm(harm.encode()) == harm
    rounded = Harm("a set", (HarmPoint("σ 2", 0.12345, -0.98765, "x", 30.55555),)).encode()
    assert json.loads(rounded) == {"images": "a set", "points": [["σ 2", 0.123, -0.988, "x", 30.556]]}
    for text in ("", "[]", '{"images": "a"}', '{"images": "a", "points": [["σ", 1]]}', '{"images": "a", "points": 3}'):
        with pytest.raises(ValueError, match=r"."):
            decode_harm(text)


@pytest.mark.parametrize(
    ("new", "worse"),
    [
        (curve((1.0, -0.2), (2.0, 1.0)), False),  # equal
        (curve((0.1, -0.2), (0.1, 0.0)), False),  # less gain is no harm
        (curve((-0.1, -0.2), (9.0, 9.0)), True),  # the mean of one strength, whatever is gained elsewhere
        (curve((1.0, -0.3), (9.0, 9.0)), True),  # its worst image
        (curve((1.0, -0.2), (2.0, -0.1)), True),
        (curve((1.0, -0.205), (2.0, 1.0)), False),  # rounding
        (curve((-5.0, -9.0), images="another set"), False),  # says nothing
        (None, False),
    ],
)
def test_who_harms_more(new: Harm | None, worse: bool) -> None:
    assert harms_more(new, curve((1.0, -0.2), (2.0, 1.0))) == worse
    assert not harms_more(new, None)


def test_a_loss_of_the_tolerance_itself_is_none() -> None:
    assert not harms_more(curve((-0.01, -0.01)), curve((0.0, 0.0)))
    assert harms_more(curve((-0.0101, 0.0)), curve((0.0, 0.0)))


changes = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=4)


@given(changes, st.floats(0, 5))
def test_no_curve_harms_more_than_itself_or_than_a_worse_one(values: list[tuple[float, float]], by: float) -> None:
    worse = curve(*((mean - by, worst - by) for mean, worst in values))
    assert not harms_more(curve(*values), curve(*values))
    assert not harms_more(curve(*values), worse)
