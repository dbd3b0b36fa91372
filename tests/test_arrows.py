"""Which room may import what, read from the source: the walls of the house."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
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
SEMANIR_MAY_IMPORT = {"torch", "triton", "safetensors", "numpy", "onnx", "spandrel"}
SEMANIR_LAZY_ONLY = {"safetensors", "numpy", "onnx", "spandrel"}


def module_name(file: str) -> str:
    """``pipeline/data/__init__.py`` → ``pipeline.data``."""
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def identity(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


FILES = {identity(path): path.read_text(encoding="utf-8") for path in MODULES}
NAMES = {module_name(file) for file in FILES}
every_file = pytest.mark.parametrize("file", FILES)


def absolute(file: str, level: int, module: str) -> str:
    """The full name of what ``file`` calls ``module`` with ``level`` dots before it; no dots: as it stands."""
    if not level:
        return module
    package = module_name(file).split(".") if file.endswith("/__init__.py") else module_name(file).split(".")[:-1]
    return ".".join([*package[: len(package) + 1 - level], *filter(None, [module])])


def run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: no body of a function, nothing for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        yield node
        yield from run_at_import(node)


def imports(file: str, source: str, top_level_only: bool = False) -> Iterator[str]:
    """Full names of the modules that a file imports, also those that it hands to ``import_module`` as a literal."""
    tree = ast.parse(source)
    for node in run_at_import(tree) if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(file, node.level, node.module or "")
            for alias in node.names:
                deep = f"{module}.{alias.name}".lstrip(".")
                yield deep if deep in NAMES or not module else module
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called, name = ast.unparse(node.func).split(".")[-1], node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str):
                yield absolute(file, len(name) - len(name.lstrip(".")), name.lstrip("."))


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 50


def trespasses(file: str, source: str) -> list[str]:
    """What a file imports past the doors, or from a top folder that its own may not know."""
    own = file.split("/")[0]
    allowed = {"semanir": {"semanir"}, "infra": {"infra"}, "pipeline": {"pipeline", "semanir"}}
    wrong = []
    for module in imports(file, source):
        package = module.split(".")[0]
        if package in DOORS and not file.startswith(DOORS[package]):
            wrong.append(f"{module} belongs to {DOORS[package]}")
        if package in OURS and package not in allowed.get(own, OURS - {"infra"}):
            wrong.append(f"{own} may not know {module}")
    return wrong


@every_file
def test_module_imports_only_through_its_doors(file: str) -> None:
    assert trespasses(file, FILES[file]) == []


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("semanir/")])
def test_semanir_needs_only_torch(file: str) -> None:
    for module in imports(file, FILES[file]):
        package = module.split(".")[0]
        if package != "semanir" and package not in sys.stdlib_module_names:
            assert package in SEMANIR_MAY_IMPORT, f"{file} imports {module}"
    for module in imports(file, FILES[file], top_level_only=True):
        assert module.split(".")[0] not in SEMANIR_LAZY_ONLY, f"{file} imports {module} at its top"


# What a command imports at its top; nothing else comes before the answer to --help.
LIGHT = ("pipeline/commands/", "pipeline/errors.py", "pipeline/options.py")


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith(("jobs/", *LIGHT))])
def test_commands_answer_help_without_heavy_imports(file: str) -> None:
    for module in imports(file, FILES[file], top_level_only=True):
        ours = f"{module.replace('.', '/')}.py".startswith(LIGHT) or module == "pipeline.commands"
        light = ours or module.split(".")[0] in sys.stdlib_module_names
        assert light, f"{file} imports {module} at its top"


# The rooms of the pipeline from the ground up: a room imports only rooms that stand in an earlier row.
FLOORS = (
    ("errors", "ray_internals", "wording", "workers"),
    ("addresses", "cluster", "images", "options", "settings", "storage"),
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
LEVELS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms} | {"": -1}  # pipeline/__init__.py
MAX_LINES = 300
MAX_JOB_LINES = 80


def room_of(module: str) -> str:
    """``pipeline.data.reader`` → ``data``, ``pipeline.errors`` → ``errors``; ``pipeline`` itself is in none."""
    return module.split(".")[1] if "." in module else ""


def upward_imports(file: str, source: str) -> list[str]:
    """The rooms on its own floor or above that a file of the pipeline imports from, its own room left out."""
    own = room_of(module_name(file))
    rooms = {room_of(module) for module in imports(file, source) if module.startswith("pipeline.")} - {own}
    return sorted(room for room in rooms if LEVELS[room] >= LEVELS[own])


PIPELINE = [file for file in FILES if file.startswith("pipeline/")]


@pytest.mark.parametrize("file", PIPELINE)
def test_a_room_imports_only_rooms_below_it(file: str) -> None:
    assert upward_imports(file, FILES[file]) == []


def test_every_room_has_a_floor() -> None:
    assert {room_of(module_name(file)) for file in PIPELINE} == set(LEVELS)


@pytest.mark.parametrize(
    ("file", "source", "rooms"),
    [
        ("scoring/made.py", "import pipeline.errors", []),
        ("scoring/made.py", "def late():\n    from pipeline.registry.pull import pull", ["registry"]),
        ("training/made.py", "from pipeline.registry.pull import pull", ["registry"]),  # its neighbor on the same floor
        ("evaluation/made.py", "from pipeline.registry.pull import pull", []),
        ("scoring/record.py", "from ..training import loop", ["training"]),
        ("scoring/record.py", "from .. import training", ["training"]),
        ("scoring/__init__.py", "from ..training import loop", ["training"]),
        ("scoring/record.py", "from . import plan\nfrom .plan import Plan\nfrom ..errors import UserError", []),
        ("training/loop.py", "from pipeline import errors, tuning", ["tuning"]),
        ("errors.py", "from pipeline.data import order", ["data"]),
        ("errors.py", "from . import cluster", ["cluster"]),
        ("workers.py", "import pipeline.errors", ["errors"]),
        ("cluster.py", "import pipeline.errors", []),
        ("__init__.py", "from pipeline.errors import UserError", ["errors"]),
        ("data/order.py", "import_module('pipeline.runs.plan')", ["runs"]),
        ("data/order.py", "importlib.import_module('..runs.plan', __package__)", ["runs"]),
    ],
)  # fmt: skip
def test_an_upward_import_is_seen(file: str, source: str, rooms: list[str]) -> None:
    assert upward_imports(f"pipeline/{file}", source) == rooms


@pytest.mark.parametrize(
    ("file", "source", "wrong"),
    [
        ("semanir/norm.py", "from ..pipeline import errors", ["semanir may not know pipeline.errors"]),
        ("semanir/norm.py", "from .. import pipeline", ["semanir may not know pipeline"]),
        ("semanir/norm.py", "from . import heads", []),
        ("pipeline/data/order.py", "from jobs import train_all_tasks", ["pipeline may not know jobs.train_all_tasks"]),
        ("jobs/evaluate.py", "import infra.local.stack", ["jobs may not know infra.local.stack"]),
        ("pipeline/data/order.py", "importlib.import_module('ray')", [f"ray belongs to {DOORS['ray']}"]),
        ("pipeline/data/order.py", "mlflow = __import__('mlflow')", [f"mlflow belongs to {DOORS['mlflow']}"]),
        ("pipeline/cluster.py", "import_module('ray')", []),
    ],
)  # fmt: skip
def test_a_way_past_the_doors_is_seen(file: str, source: str, wrong: list[str]) -> None:
    assert trespasses(file, source) == wrong


def test_what_runs_at_import_is_told_from_what_runs_later() -> None:
    source = (
        "try:\n    import a\nexcept ImportError:\n    pass\nif TYPE_CHECKING:\n    import b\ndef f():\n    import c"
    )
    assert list(imports("semanir/norm.py", source, top_level_only=True)) == ["a"]
    assert sorted(imports("semanir/norm.py", source)) == ["a", "b", "c"]


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, or none."""
    remaining = {module: set(targets) for module, targets in arrows.items()}
    while free := [module for module, targets in remaining.items() if not targets & remaining.keys()]:
        for module in free:
            del remaining[module]
    return sorted(remaining)


def arrows(files: Mapping[str, str]) -> dict[str, set[str]]:
    """Module → the modules of ours that it imports."""
    return {
        module_name(file): set(imports(file, source)) & NAMES - {module_name(file)} for file, source in files.items()
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(arrows(FILES)) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["a", "b", "c"]
    assert circle({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize("source", ["from .norm import x", "from . import norm", "from semanir import norm"])
def test_a_circle_is_seen(source: str) -> None:
    made = arrows({"semanir/norm.py": "import semanir.heads", "semanir/heads.py": source})
    assert circle(made) == ["semanir.heads", "semanir.norm"]


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=identity)
def test_a_file_holds_one_idea(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (MAX_JOB_LINES if identity(path).startswith("jobs/") else MAX_LINES), f"{lines} lines"
