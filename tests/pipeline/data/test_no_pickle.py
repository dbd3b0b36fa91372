"""Data is read without unpickling anything, and without mosaicml's reader."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PIPELINE = Path(__file__).parents[3] / "pipeline"
FILES = [path for room in ("data", "storage", "degradations") for path in sorted((PIPELINE / room).rglob("*.py"))]
UNWANTED = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "streaming"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PIPELINE).as_posix())
def test_no_room_of_the_data_unpickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert UNWANTED.isdisjoint(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in UNWANTED
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "torch.load"
            allowed = {word.arg: ast.unparse(word.value) for word in node.keywords}.get("allow_pickle")
            assert allowed in (None, "False")
