"""What a test expects is written in the test: no reference takes a number or a function from what it checks.

A machine sees two kinds of that: a reference, told by its name, that uses something of ours, and, where formulas are
checked, a number of ours by its name (``COLOR_SHARE``), which would change on both sides at once. That a reference
spells out the right formula is seen by nobody but its reader.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module

from tests.tree import ROOT, files

OURS = {"pipeline", "semanir", "jobs", "infra"}
REFERENCE = re.compile(r"^(?!test_)(slow_|by_hand|reference|\w+_by_hand)")
# Rooms of formulas: a test of one is right by a source outside the project.
FORMULAS = (
    "tests/pipeline/degradations/", "tests/pipeline/metrics/", "tests/pipeline/estimation/", "tests/pipeline/filters/",
    "tests/pipeline/scoring/", "tests/pipeline/tasks/", "tests/pipeline/training/test_losses.py",
    "tests/pipeline/training/test_schedule.py", "tests/pipeline/training/test_phases.py",
    "tests/pipeline/training/test_meter.py", "tests/pipeline/training/test_ema.py", "tests/pipeline/data/test_order.py",
    "tests/pipeline/data/test_mixture.py", "tests/semanir/",
)  # fmt: skip
FILES = {path.relative_to(ROOT).as_posix(): path for path in files(".py", folder=ROOT / "tests")}
# What a formula's test takes by name all the same, and why no formula hangs on it.
BY_NAME: dict[str, dict[str, str]] = {
    "tests/semanir/export/run_graph.py": {"file.OPSET": "the version of ONNX that the graph was written in"},
    "tests/semanir/ops/test_select_compiled.py": {"_ENTRIES": "the shape that the kernel is compiled for"},
    "tests/semanir/ops/test_triton_compiled.py": {
        "FLOAT32": "the shapes that the kernels are compiled for",
        "launch._PARTIAL_BYTES": "the memory that a split may take",
    },
}


def ours(tree: ast.AST) -> dict[str, tuple[str, str]]:
    """Name in the file → module of ours and name there, or a module and nothing."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            found |= {alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names}
        if isinstance(node, ast.Import):
            mine = [alias for alias in node.names if alias.name.split(".")[0] in OURS]
            found |= {alias.asname or alias.name.split(".")[0]: (alias.name, "") for alias in mine}
    return found


def borrowed(source: str, whole: bool = False) -> Iterator[str]:
    """``function: name`` of what references use of ours, types in their signatures left out; whole: a file of them."""
    tree = ast.parse(source)
    names = ours(tree)
    if whole:
        yield from names
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        if REFERENCE.match(function.name):
            used = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
            yield from (f"{function.name}: {name}" for name in sorted(used & names.keys()))


def is_number(module: str, name: str) -> bool:
    value = getattr(import_module(module), name, None) if name else None
    return isinstance(value, int | float | tuple) and not isinstance(value, bool)


def numbers_of_ours(source: str) -> Iterator[str]:
    """Constants of ours that the file uses by name and that are numbers, or tuples, which mostly hold some."""
    tree = ast.parse(source)
    names = ours(tree)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    yield from sorted(n for n in used & names.keys() if n.lstrip("_").isupper() and is_number(*names[n]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.lstrip("_").isupper() and isinstance(node.value, ast.Name):
            module, name = names.get(node.value.id, ("", ""))
            if module and is_number(f"{module}.{name}".rstrip("."), node.attr):
                yield f"{node.value.id}.{node.attr}"


def test_a_reference_uses_nothing_of_ours() -> None:
    whole = {file for file in FILES if re.search(r"(^|/)(?!test_)\w+_by_hand\.py$", file)}
    found = {file: [*borrowed(path.read_text(encoding="utf-8"), file in whole)] for file, path in FILES.items()}
    assert whole
    assert {file: names for file, names in found.items() if names} == {}


def test_a_formula_s_numbers_are_written_in_its_test() -> None:
    formulas = {file: path for file, path in FILES.items() if file.startswith(FORMULAS)}
    found = {file: [*numbers_of_ours(path.read_text(encoding="utf-8"))] for file, path in formulas.items()}
    taken = {file: numbers for file, numbers in found.items() if numbers}
    assert taken == {file: [*names] for file, names in BY_NAME.items()}, "write the value, or say in BY_NAME why not"


def test_there_are_references_and_formulas() -> None:
    functions = [
        node.name
        for path in FILES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and REFERENCE.match(node.name)
    ]
    assert len(functions) >= 5
    assert all(any(file.startswith(room) for file in FILES) for room in FORMULAS)


def test_a_borrowed_formula_or_number_would_be_seen() -> None:
    source = (
        "from pipeline.degradations.grain import COLOR_SHARE, film_grain\nimport semanir\n"
        "def by_hand(image):\n    return film_grain(image) + semanir.load('a')\n"
        "def slow_sum(image):\n    return image + COLOR_SHARE\n"
        "def test_reference():\n    assert film_grain(1) == by_hand(1)\n"
    )
    assert list(borrowed(source)) == ["by_hand: film_grain", "by_hand: semanir", "slow_sum: COLOR_SHARE"]
    assert list(borrowed(source, whole=True))[:3] == ["COLOR_SHARE", "film_grain", "semanir"]
    assert list(numbers_of_ours(source)) == ["COLOR_SHARE"]
    module = "from pipeline.degradations import grain\nassert 1 / (1 + grain.COLOR_SHARE**2)\n"
    assert list(numbers_of_ours(module)) == ["grain.COLOR_SHARE"]
