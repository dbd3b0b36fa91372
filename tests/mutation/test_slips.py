"""A small project's slips: what a test sees, what none sees, what none calls, and that the next run tries the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutation.groups import Group
from tests.mutation.run import ROOT, Slip, excuses, no_slips, read, sample, try_slips

SUMS = """\
def add(a, b):
    return a + b


def clamp(a):
    return max(a, 0)


def forgotten(a):
    return not a
"""
CHECKS = """\
import pytest
from sums.sums import add, clamp


@pytest.fixture(scope="session", autouse=True)
def taken_down():
    yield
    with open({log!r}, "a") as log:
        log.write("down ")


def test_add():
    assert add(2, 3) == 5


def test_clamp():
    assert clamp(7) == 7


def test_left_out():
    assert add(2, 3) == clamp(6), "tests must not fail without a slip"
"""
PROFILE = 'import hypothesis\nhypothesis.settings.register_profile("reproducible", derandomize=True)\n'
SETTINGS = (
    '[tool.mutmut]\nsource_paths = ["sums"]\nalso_copy = ["checks"]\n[tool.pytest.ini_options]\npythonpath = ["."]\n'
)


@pytest.mark.slow
def test_slips_that_live_are_told_from_those_that_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, checks = tmp_path / "log of fixtures", tmp_path / "checks" / "test_sums.py"
    for path, text in {
        tmp_path / "pyproject.toml": SETTINGS,
        tmp_path / "sums" / "__init__.py": "",
        tmp_path / "sums" / "sums.py": SUMS,
        tmp_path / "checks" / "conftest.py": PROFILE,
        checks: CHECKS.format(log=str(log)),
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the plugin is
    group = Group(("sums/sums.py",), ("checks",), other_tests=("checks/test_sums.py::test_left_out",))
    sample(tmp_path, group, every=1)
    assert read(tmp_path).left > 5
    try_slips(tmp_path, group, processes=2)
    score = read(tmp_path)
    assert score.left == score.hung == score.excused == 0
    lived = {slip.name.split("__")[0].removeprefix("sums.sums.x_"): slip.lines for slip in score.lived}
    assert set(lived) == {"clamp", "forgotten"}
    assert lived["forgotten"] == ("-    return not a", "+    return a")
    tried = score.seen + len(score.lived) - 1  # nothing calls what is forgotten
    assert log.read_text().count("down") == tried + 1, "fixtures are taken down after every slip, and once without one"

    checks.write_text(checks.read_text() + "\n\ndef test_clamp_below():\n    assert clamp(-1) == 0\n")
    shutil.copy(checks, tmp_path / "mutants" / "checks")
    sample(tmp_path, group, every=1)
    assert read(tmp_path).seen == score.seen  # what was seen is not tried again
    try_slips(tmp_path, group, processes=1)
    assert {slip.name.split("__")[0] for slip in read(tmp_path).lived} == {"sums.sums.x_forgotten"}


@pytest.mark.parametrize(
    ("removed", "added", "excused"),
    [
        ("zip(x, y, strict=True)", "zip(x, y, )", True),
        ("zip(x, y, strict=True)", "zip(x, strict=True)", False),
        ("zip(x, y)", "zip(x, )", False),
        ("return np.clip(snowed, 0.0, 1.0, out=snowed)", "return np.clip(snowed, 0.0, 1.0, )", True),
        ("return np.clip(snowed, 0.0, 1.0)", "return np.clip(snowed, 0.0, )", False),
        ("return np.clip(snowed, 0.0, 1.0)", "return np.clip(snowed, 1.0, )", False),
    ],
)
def test_what_is_excused_everywhere_is_the_guard_alone(removed: str, added: str, excused: bool) -> None:
    slip = Slip("pipeline.degradations.snow.x_snow__mutmut_1", (f"-    {removed}", f"+    {added}"))
    assert any(excuses(rule, slip) for rule in no_slips()) is excused
