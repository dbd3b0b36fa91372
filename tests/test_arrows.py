"""Which room may import what, read from the source: the walls of the house."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"semanir", "pipeline", "jobs", "infra"}
MODULES = sorted(path for room in sorted(OURS) for path in (ROOT / room).rglob("*.py"))

# Third party → where it may be imported; everywhere else it may not.
DOORS = {
    "ray": (
        "pipeline/cluster.py",
        "pipeline/training/elastic.py",
        "pipeline/training/launch.py",
        "pipeline/training/outage.py",
        "pipeline/serving/",
        "pipeline/training/preemption.py",
        "pipeline/tuning/",
    ),
    "mlflow": ("pipeline/registry/",),
    "deepspeed": ("pipeline/training/engine.py", "pipeline/training/checkpoint.py"),
}
# NumPy is optional there: it makes the dictionary's build on a CPU faster, and torch alone builds the same one.
SEMANIR_MAY_IMPORT = {"torch", "triton", "safetensors", "numpy"}
SEMANIR_LAZY_ONLY = {"safetensors", "numpy"}


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    """Full names of the modules that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def identity(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_module_imports_only_through_its_doors(path: Path) -> None:
    name = identity(path)
    room = name.split("/")[0]
    for module in imports(path):
        package = module.split(".")[0]
        if package in DOORS:
            assert name.startswith(DOORS[package]), f"{name} imports {module}: {package} belongs to {DOORS[package]}"
        if package in OURS:
            allowed = {"semanir": {"semanir"}, "infra": {"infra"}, "pipeline": {"pipeline", "semanir"}}
            assert package in allowed.get(room, OURS - {"infra"}), f"{name} imports {module}"


@pytest.mark.parametrize("path", [p for p in MODULES if identity(p).startswith("semanir/")], ids=identity)
def test_semanir_needs_only_torch(path: Path) -> None:
    import sys

    for module in imports(path):
        package = module.split(".")[0]
        if package != "semanir" and package not in sys.stdlib_module_names:
            assert package in SEMANIR_MAY_IMPORT, f"{identity(path)} imports {module}"
    for module in imports(path, top_level_only=True):
        assert module.split(".")[0] not in SEMANIR_LAZY_ONLY, f"{identity(path)} imports {module} at its top"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if identity(p).startswith(("jobs/", "pipeline/commands/"))], ids=identity
)
def test_commands_answer_help_without_heavy_imports(path: Path) -> None:
    import sys

    for module in imports(path, top_level_only=True):
        light = module.startswith("pipeline.commands") or module.split(".")[0] in sys.stdlib_module_names
        assert light, f"{identity(path)} imports {module} at its top"
    if identity(path).startswith("jobs/"):
        assert len(path.read_text().splitlines()) <= 80, f"{identity(path)}: an entry point says what it calls, no more"
