"""A pytest plugin for mutation runs: the tests that took least come first, because the first failure ends a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order by the seconds that mutmut measured; before it has, the order stays."""
    known = Path("mutmut-stats.json")
    if known.exists():
        seconds = json.loads(known.read_text(encoding="utf-8"))["duration_by_test"]
        items.sort(key=lambda item: float(seconds.get(item.nodeid, 0.0)))
