"""Modules of ours that comments, docstrings, pages and settings name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tree import ROOT, files

# In quotes stand keys, and the modules that code looks up, which the walls read.
OUR_NAME = re.compile(r"(?<![\w./@\"'-])(?:pipeline|semanir|infra|tests)(?:\.[A-Za-z_]\w*)+")


def leads_nowhere(name: str) -> bool:
    """Whether a dotted name of ours names no module, and nothing that the last module on the way speaks of."""
    path, rest = ROOT, name.split(".")
    while rest and (path / rest[0]).is_dir():
        path /= rest.pop(0)
    module = rest and (path / f"{rest[0]}.py").is_file()
    file = path / (f"{rest.pop(0)}.py" if module else "__init__.py")
    if not rest or rest[0].startswith("__"):
        return False
    return not (file.is_file() and re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")))


# Tests make names up.
PAGES = [
    page for page in files(".py", ".md", ".toml", ".yaml", ".yml", ".sh") if not page.is_relative_to(ROOT / "tests")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_module_that_a_text_names_is_there(page: Path) -> None:
    names = set(OUR_NAME.findall(page.read_text(encoding="utf-8")))
    assert [name for name in sorted(names) if leads_nowhere(name)] == []


def test_a_name_that_leads_nowhere_is_seen() -> None:
    assert leads_nowhere("pipeline.runs.devices")
    assert not leads_nowhere("pipeline.training.devices")
    assert not leads_nowhere("semanir.load")
