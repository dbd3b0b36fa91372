from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from pipeline.registry.harm_tag import HARM_TAG
from pipeline.registry.promotion import METRIC_TAG, PROTOCOL_TAG, WITHDRAWN_TAG, best_version, why_not_champion
from pipeline.scoring.harm import Harm, HarmPoint


def version(number: int, psnr: float, protocol: str = "p", withdrawn: bool = False) -> ModelVersion:
    tags = {METRIC_TAG: str(psnr), PROTOCOL_TAG: protocol, **({WITHDRAWN_TAG: "yes"} if withdrawn else {})}
    return ModelVersion("m", str(number), 0, tags=[ModelVersionTag(key, value) for key, value in tags.items()])


@given(st.lists(st.sampled_from([20.0, 21.5, 30.25]), min_size=1, max_size=5))
def test_the_champion_does_not_depend_on_the_order_of_the_listing(figures: list[float]) -> None:
    versions = [version(number, psnr) for number, psnr in enumerate(figures, start=1)]
    expected = figures.index(max(figures)) + 1
    assert {best_version(order, None) for order in permutations(versions)} == {expected}


@given(st.lists(st.floats(10, 50), min_size=2, max_size=6), st.data())
def test_a_champion_is_replaced_only_by_a_better_one(figures: list[float], data: st.DataObject) -> None:
    champion = data.draw(st.integers(1, len(figures)))
    versions = [version(number, psnr) for number, psnr in enumerate(figures, start=1)]
    best = best_version(versions, champion)
    assert best is not None
    assert best == champion or figures[best - 1] > figures[champion - 1]


@pytest.mark.parametrize(
    ("versions", "champion", "expected"),
    [
        ([version(1, 20), version(2, 90, protocol="other")], 1, 1),
        ([version(1, 20, protocol="other"), version(2, 90)], None, 1),
        ([version(1, 90), version(2, 20, protocol="other")], 2, 2),  # the champion's protocol, not the oldest one's
        ([version(1, 20), version(2, 30, withdrawn=True)], 1, 1),
        ([version(1, 20, withdrawn=True)], None, None),
        ([version(2, 30)], 7, 7),  # set by hand to a version without figures
        ([], None, None),
    ],
)
def test_who_competes(versions: list[ModelVersion], champion: int | None, expected: int | None) -> None:
    assert best_version(versions, champion) == expected


def curved(number: int, psnr: float, *changes: float, images: str = "set") -> ModelVersion:
    points = tuple(HarmPoint(f"σ {n}", change, change, "x", 30.0) for n, change in enumerate(changes))
    found = version(number, psnr)
    tags = {**found.tags, HARM_TAG: Harm(images, points).encode()}
    return ModelVersion("m", str(number), 0, tags=[ModelVersionTag(key, value) for key, value in tags.items()])


@pytest.mark.parametrize(
    ("challenger", "expected"),
    [
        (curved(2, 31.0, -0.1, 1.0), 2),  # better, and harms no more
        (curved(2, 31.0, -0.3, 9.0), 1),  # better on average, and spoils what the champion leaves alone
        (curved(2, 29.0, 0.5, 2.0), 1),  # harms less, but is not better
        (curved(2, 31.0, -9.0, images="other"), 2),  # measured on another set: nothing is known
        (version(2, 31.0), 2),  # carries no curve
    ],
)
def test_a_champion_is_not_followed_by_one_that_harms_more(challenger: ModelVersion, expected: int) -> None:
    assert best_version([curved(1, 30.0, -0.1, 0.5), challenger], 1) == expected
    assert best_version([version(1, 30.0), challenger], 1) == (2 if challenger.tags[METRIC_TAG] == "31.0" else 1)


def test_without_a_champion_the_curve_decides_nothing() -> None:
    assert best_version([curved(1, 30.0, 0.0), curved(2, 31.0, -5.0)], None) == 2


def bare(number: int, withdrawn: str = "") -> ModelVersion:
    """A version without figures."""
    return ModelVersion("m", str(number), 0, tags=[ModelVersionTag(WITHDRAWN_TAG, withdrawn)] if withdrawn else [])


def without_protocol(number: int, psnr: float) -> ModelVersion:
    return ModelVersion("m", str(number), 0, tags=[ModelVersionTag(METRIC_TAG, str(psnr))])


@pytest.mark.parametrize(
    ("challenger", "champion", "said"),
    [
        (version(2, 29.5), version(1, 30), "0.50 dB below champion v1"),
        (version(2, 30), version(1, 30), "no better than champion v1"),
        (version(2, 30.5), version(1, 30), "no better than champion v1"),  # not yet promoted, or set back by hand
        (curved(2, 30.25, -1.0), curved(1, 30, 0.5), "0.25 dB above champion v1, but harms some images more"),
        (curved(2, 30.25, 0.5), curved(1, 30, -1.0), "no better than champion v1"),
        (curved(2, 30, -1.0), curved(1, 30, 0.5), "no better than champion v1"),
        (curved(2, 29, -1.0), curved(1, 30, 0.5), "1.00 dB below champion v1"),
        (version(2, 40, protocol="other"), version(1, 30), "measured on other images or settings than champion v1"),
        (without_protocol(2, 40), version(1, 30), "measured on other images or settings than champion v1"),
        (version(2, 40), without_protocol(1, 30), "measured on other images or settings than champion v1"),
        (without_protocol(2, 29), without_protocol(1, 30), "1.00 dB below champion v1"),
        (version(2, 40, withdrawn=True), version(1, 30), "withdrawn: yes"),
        (bare(2, withdrawn="it blurs"), version(1, 30), "withdrawn: it blurs"),
        (bare(2), version(1, 30), "it has no figures to compare with"),
        (version(2, 40), bare(1), "version 1 was made champion by hand, without figures to compare with"),
    ],
)
def test_why_a_version_is_not_the_champion(challenger: ModelVersion, champion: ModelVersion, said: str) -> None:
    assert why_not_champion([champion, challenger], 1, 2) == said
    assert why_not_champion([challenger, champion, version(3, 99)], 1, 2) == said


def test_nothing_is_said_of_the_champion_or_of_who_is_not_there() -> None:
    versions = [version(1, 30), version(2, 20)]
    for champion, number in ((None, 2), (1, 1), (2, 2), (7, 2), (1, 7), (7, 7), (None, 7)):
        assert why_not_champion(versions, champion, number) == ""
