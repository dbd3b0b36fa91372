from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.kinds import all_cases
from tests.fuzz.run import run

EACH = 24


@pytest.mark.parametrize("count", [EACH, pytest.param(200_000, marks=pytest.mark.slow)])
def test_mutated_inputs_give_a_result_or_an_exception_of_ours(count: int, tmp_path: Path) -> None:
    cases = all_cases(tmp_path)
    found = run(cases, max(count, EACH * len(cases)), tmp_path)
    assert sum(read for read, _ in found.values()) >= count
    for name, (read, refused) in found.items():
        assert refused > read // 20 or read < EACH // 2, f"{name}: mutations that change nothing"
