"""An audit that could not ask says so, and never passes for one that found nothing."""

from __future__ import annotations

from typing import Any

import pytest

from infra.audit import judge

SAFE: dict[str, Any] = {"name": "safe", "version": "1", "vulns": []}
WEAK: dict[str, Any] = {"name": "weak", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
UNKNOWN: dict[str, Any] = {"name": "odd", "skip_reason": "not found"}


@pytest.mark.parametrize("found", [[], [UNKNOWN]])
def test_an_audit_without_answers_is_loud(found: list[dict[str, Any]]) -> None:
    code, (line,) = judge(found, "ERROR: connection refused")
    assert code == 0
    assert "NO PACKAGE WAS CHECKED" in line


def test_a_vulnerable_package_fails_and_is_named() -> None:
    code, lines = judge([SAFE, WEAK, UNKNOWN], "")
    assert code == 1
    assert lines[0] == "audit: weak 2 has CVE-1, mended in 3"
    assert "odd" in lines[1]


def test_a_clean_audit_tells_how_many_it_checked() -> None:
    assert judge([SAFE], "") == (0, ["audit: 1 packages checked"])
