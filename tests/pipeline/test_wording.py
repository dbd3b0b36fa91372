"""Durations, sizes and counts as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wording import counted, data_size, duration, escaped

UNITS = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "days": 86_400}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (725, "12 min 05 s"),
        (3599.7, "1 h 00 min"),
        (86_400, "1 day 0 h"),
        (2_164_440, "25 days"),  # which read "36074:00" once
    ],
)
def test_a_duration_has_its_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(0, 1e9))
def test_what_is_said_is_what_is_meant(seconds: float) -> None:
    parts = re.findall(r"(\d+) ([a-z]+)", duration(seconds))
    meant = sum(int(number) * UNITS[unit] for number, unit in parts)
    smallest = UNITS[parts[-1][1]]
    assert abs(meant - seconds) <= smallest
    assert len(parts) <= 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (counted(1, "shard"), "1 shard"),
        (counted(0, "shard"), "0 shards"),
        (counted(2, "batch", "batches"), "2 batches"),
        (data_size(1), "1 byte"),
        (data_size(999), "999 bytes"),
        (data_size(1000), "1.0 KiB"),
        (data_size(3 * 2**20), "3.0 MiB"),
        (data_size(2**62), "4194304.0 TiB"),
    ],
)
def test_counts_and_sizes(said: str, expected: str) -> None:
    assert said == expected


@given(st.text())
def test_a_name_is_shown_on_one_line_without_what_a_terminal_obeys(name: str) -> None:
    shown = escaped(name)
    assert shown.isprintable()
    assert all(one in shown for one in name if one.isprintable())
    assert escaped(shown) == shown


def test_a_hostile_name_can_be_read() -> None:
    assert escaped("\x1b[31mred\n30 restored, 0 skipped\udcff ü.png") == (
        "\\x1b[31mred\\n30 restored, 0 skipped\\udcff ü.png"
    )
