from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.kinds import all_cases
from tests.fuzz.run import run

ROOT = Path(__file__).resolve().parents[2]
EACH = 24


def test_mutated_inputs_give_a_result_or_an_exception_of_ours(tmp_path: Path) -> None:
    cases = all_cases(tmp_path)
    found = run(cases, EACH * len(cases), tmp_path)
    for name, (read, refused) in found.items():
        assert refused > read // 20 or read < EACH // 2, f"{name}: mutations that change nothing"


@pytest.mark.slow
def test_two_hundred_thousand_inputs_as_make_fuzz_reads_them() -> None:
    """In a process of its own: what threads of earlier tests (Ray's) open and take would be blamed on an input."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "200000"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (total := re.search(r"^(\d+) inputs, ", done.stdout, re.MULTILINE))
    assert int(total[1]) == 200_000
