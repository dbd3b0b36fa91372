"""What is compared are the two times of one round."""

from __future__ import annotations

from functools import partial

import pytest

from pipeline.benchmarks.clock import each_milliseconds, median_ratio


def test_every_candidate_is_called_in_each_round_and_once_before() -> None:
    calls: list[str] = []
    times = each_milliseconds({name: partial(calls.append, name) for name in "ab"}, rounds=3, device="cpu")
    assert "".join(calls) == "ab" * 4
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3}


def test_a_slow_round_does_not_change_the_ratio() -> None:
    assert median_ratio([2.0, 200.0, 2.0], [1.0, 100.0, 1.0]) == pytest.approx(2)
