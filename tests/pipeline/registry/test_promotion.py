from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from pipeline.registry.promotion import METRIC_TAG, PROTOCOL_TAG, WITHDRAWN_TAG, best_version


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
        ([version(1, 20), version(2, 30, withdrawn=True)], 1, 1),
        ([version(1, 20, withdrawn=True)], None, None),
        ([version(2, 30)], 7, 7),  # set by hand to a version without figures
        ([], None, None),
    ],
)
def test_who_competes(versions: list[ModelVersion], champion: int | None, expected: int | None) -> None:
    assert best_version(versions, champion) == expected
