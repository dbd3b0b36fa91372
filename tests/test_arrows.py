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
        "pipeline/ray_internals.py",
        "pipeline/training/elastic.py",
        "pipeline/training/launch.py",
        "pipeline/training/outage.py",
        "pipeline/serving/",
        "pipeline/training/preemption.py",
        "pipeline/training/upload.py",
        "pipeline/tuning/",
    ),
    "mlflow": ("pipeline/registry/",),
    "deepspeed": ("pipeline/training/engine.py", "pipeline/training/deepspeed_internals.py"),
}
# NumPy is optional there: it makes the dictionary's build on a CPU faster, and torch alone builds the same one.
SEMANIR_MAY_IMPORT = {"torch", "triton", "safetensors", "numpy", "onnx"}
SEMANIR_LAZY_ONLY = {"safetensors", "numpy", "onnx"}


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


# The rooms of the pipeline from the ground up: a room imports only rooms that stand in an earlier row.
FLOORS = (
    ("errors", "ray_internals", "workers"),
    ("addresses", "cluster", "images", "settings", "storage"),
    ("degradations",),
    ("estimation", "filters", "metrics", "shipped"),
    ("tasks",),
    ("config", "data"),
    ("scoring",),
    ("registry", "training"),
    ("evaluation", "restoring"),
    ("runs", "serving"),
    ("benchmarks", "tuning"),
    ("commands",),
)
LEVELS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
MAX_LINES = 300
MAX_JOB_LINES = 80


def room_of(module: str) -> str:
    """``pipeline.data.reader`` → ``data``."""
    return module.split(".")[1] if "." in module else ""


def upward_imports(path: Path, name: str) -> list[str]:
    """What the module ``name`` in the file ``path`` imports from its own floor or above, its own room left out."""
    own = room_of(name)
    rooms = {room_of(module) for module in imports(path) if module.startswith("pipeline.")} - {own}
    return sorted(room for room in rooms if LEVELS[room] >= LEVELS[own])


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PIPELINE = [path for path in MODULES if identity(path).startswith("pipeline/") and path.parent != ROOT / "pipeline"]


@pytest.mark.parametrize("path", PIPELINE, ids=identity)
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    assert upward_imports(path, module_name(path)) == []


def test_every_room_has_a_floor() -> None:
    assert {room_of(module_name(path)) for path in PIPELINE} <= set(LEVELS)
    assert {path.stem for path in (ROOT / "pipeline").glob("*.py")} - {"__init__"} <= set(LEVELS)


def test_an_upward_import_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "made.py"
    source.write_text("import pipeline.errors\n\ndef late():\n    from pipeline.registry.pull import pull\n")
    assert upward_imports(source, "pipeline.scoring.made") == ["registry"]
    assert upward_imports(source, "pipeline.training.made") == ["registry"]  # its neighbor on the same floor
    assert upward_imports(source, "pipeline.evaluation.made") == []


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, or none."""
    remaining = {module: set(targets) for module, targets in arrows.items()}
    while free := [module for module, targets in remaining.items() if not targets & remaining.keys()]:
        for module in free:
            del remaining[module]
    return sorted(remaining)


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = {module_name(path): path for path in MODULES}
    arrows: dict[str, set[str]] = {}
    for module, path in files.items():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                deep = {f"{node.module}.{alias.name}" for alias in node.names} & files.keys()
                targets |= deep or ({node.module} & files.keys())
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names} & files.keys()
        arrows[module] = targets - {module}
    assert circle(arrows) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["a", "b", "c"]
    assert circle({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=identity)
def test_a_file_holds_one_idea(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (MAX_JOB_LINES if identity(path).startswith("jobs/") else MAX_LINES), f"{lines} lines"
