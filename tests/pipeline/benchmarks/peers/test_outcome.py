"""Every reading has one outcome, and the worst that happened is it."""

from __future__ import annotations

import pytest

from pipeline.benchmarks.peers.outcome import Outcome, Reading, judge

TRUTH = {"a": "1", "b": "2"}
ALL = [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    ("reading", "outcome"),
    [
        (Reading(ALL, None, False, 0), Outcome.UNHARMED),
        (Reading(ALL[:1], None, False, 0), Outcome.LOST),
        (Reading(ALL[:1], None, False, 0, "Checksum failure: shard-000001.tar"), Outcome.LOGGED),
        (Reading(ALL, None, False, 0, "shard-000001.tar read"), Outcome.UNHARMED),
        (Reading([*ALL, ("a", "1")], None, False, 0), Outcome.DOUBLED),
        (Reading([("a", "1"), ("b", "9")], None, False, 0), Outcome.WRONG),
        (Reading([("a", "9")], "ValueError: a", False, 1), Outcome.WRONG),
        (Reading([("c", "1")], None, False, 0), Outcome.WRONG),
        (Reading([], "ValueError: shard-000001.tar is cut", False, 1), Outcome.NAMED),
        (Reading([], "zlib.error: incorrect data", False, 1), Outcome.UNNAMED),
        (Reading(ALL[:1], None, True, -9), Outcome.HANG),
        (Reading(ALL[:1], None, False, -11), Outcome.ABORT),
    ],
)
def test_outcomes(reading: Reading, outcome: Outcome) -> None:
    assert judge(reading, TRUTH, {"shard-000001.tar", "a_key"}) is outcome
