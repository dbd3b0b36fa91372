"""Which room may import what, read from the source: the walls of the house."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.imports import Reader, module_name
from tests.tree import ROOT, files

# Top folder → the top folders of ours that its files may import; tests may import all, and nothing but tests them.
MAY_KNOW = {
    "semanir": {"semanir"},
    "pipeline": {"pipeline", "semanir"},
    "jobs": {"jobs", "pipeline", "semanir"},
    "infra": {"infra"},
}
OURS = {*MAY_KNOW, "tests"}

# Third party → where it may be imported; everywhere else it may not.
DOORS = {
    "ray": (
        "pipeline/cluster.py",
        "pipeline/own_cluster.py",
        "pipeline/gauges.py",
        "pipeline/ray_internals.py",
        "pipeline/runs/submit.py",
        "pipeline/training/elastic.py",
        "pipeline/training/ray_train.py",
        "pipeline/training/outage.py",
        "pipeline/serving/",
        "pipeline/training/preemption.py",
        "pipeline/training/upload.py",
        "pipeline/tuning/",
    ),
    "av": ("pipeline/video/",),
    "pydoc": (),  # its locate() imports whatever it is given
    "boto3": ("pipeline/storage/", "infra/local/s3.py"),
    "botocore": ("pipeline/storage/", "infra/local/s3.py"),
    "mlflow": ("pipeline/registry/",),
    "model_signing": ("pipeline/registry/signature.py",),
    "deepspeed": ("pipeline/training/engine.py", "pipeline/training/deepspeed_internals.py"),
}
# NumPy is optional there: it makes the dictionary's build on a CPU faster, and torch alone builds the same one.
SEMANIR_MAY_IMPORT = {"torch", "triton", "safetensors", "numpy", "onnx", "spandrel"}
SEMANIR_LAZY_ONLY = {"safetensors", "numpy", "onnx", "spandrel"}


# Where code is imported whose name its source does not spell out, and why that goes past no wall.
HIDDEN = {
    "pipeline/ray_internals.py": "Ray's private modules, listed there",
    "pipeline/commands/benchmark.py": "the sub-commands' modules, listed there; it stands above all rooms",
    "pipeline/registry/carried_code.py": "the source tree that a registered model carries",
    "semanir/weights.py": "where installed packages, the pipeline among them, say that more models are",
    "pipeline/registry/served_model.py": "the same tree, by the copy that travels in the model",
}


def identity(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


ALL = {identity(path): path.read_text(encoding="utf-8") for path in files(".py")}
FILES = {file: source for file, source in ALL.items() if not file.startswith("tests/")}
NAMES = {module_name(file) for file in FILES}


def broken(rule: Callable[[str], list[str]], whole: Iterable[str] = FILES) -> dict[str, list[str]]:
    """The files that break a rule, each with what is wrong there: all in one test, which is over in a moment."""
    return {file: wrong for file in whole if (wrong := rule(file))}


def imports(file: str, source: str, top_level_only: bool = False) -> Iterator[str]:
    return Reader(file, NAMES, set(DOORS)).imports(source, top_level_only)


def touches(file: str, source: str) -> list[str]:
    """The modules that a file imports, those that it walks to from what it imports, and those that it names."""
    reader = Reader(file, NAMES, set(DOORS))
    return sorted({*imports(file, source), *reader.reaches(source), *reader.named(source)})


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 300


def test_every_top_folder_says_what_it_may_know() -> None:
    assert {file.split("/")[0] for file in ALL} == OURS, "add it to MAY_KNOW"


def trespasses(file: str, source: str) -> list[str]:
    """What a file imports past the doors, or from a top folder that its own may not know."""
    own = file.split("/")[0]
    wrong = []
    for module in touches(file, source):
        package = module.split(".")[0]
        if package in DOORS and not file.startswith(DOORS[package]):
            wrong.append(f"{module} belongs to {DOORS[package]}")
        if package in OURS and package not in MAY_KNOW.get(own, set()):
            wrong.append(f"{own} may not know {module}")
    return wrong


def test_what_is_imported_is_spelled_out() -> None:
    hiding = broken(lambda file: Reader(file, NAMES).hidden(FILES[file]))
    assert {file: hidden for file, hidden in hiding.items() if file not in HIDDEN} == {}
    assert set(HIDDEN) <= set(hiding), "these may leave HIDDEN"


def test_modules_import_only_through_their_doors() -> None:
    assert broken(lambda file: trespasses(file, FILES[file])) == {}


def test_semanir_needs_only_torch() -> None:
    def more_than_torch(file: str) -> list[str]:
        packages = {module.split(".")[0] for module in imports(file, FILES[file])} - sys.stdlib_module_names
        early = {module.split(".")[0] for module in imports(file, FILES[file], top_level_only=True)}
        return sorted(packages - {"semanir"} - SEMANIR_MAY_IMPORT) + sorted(early & SEMANIR_LAZY_ONLY)

    rooms = [file for file in FILES if file.startswith("semanir/")]
    assert len(rooms) > 50
    assert broken(more_than_torch, rooms) == {}


# What a command imports at its top; nothing else comes before the answer to --help.
LIGHT = ("pipeline/commands/", "pipeline/errors.py", "pipeline/options.py", "pipeline/wording.py")


def test_commands_answer_help_without_heavy_imports() -> None:
    def heavy(module: str) -> bool:
        ours = f"{module.replace('.', '/')}.py".startswith(LIGHT) or module == "pipeline.commands"
        return not ours and module.split(".")[0] not in sys.stdlib_module_names

    doors = [file for file in FILES if file.startswith(("jobs/", *LIGHT))]
    assert len(doors) > 20
    assert broken(lambda file: [*filter(heavy, imports(file, FILES[file], top_level_only=True))], doors) == {}


# The rooms of the pipeline from the ground up: a room imports only rooms that stand in an earlier row.
FLOORS = (
    ("entries", "errors", "gauges", "native_stderr", "ray_internals", "wording", "workers"),
    ("addresses", "allocator", "cluster", "images", "memory", "options", "own_cluster", "settings", "storage"),
    ("degradations",),
    ("estimation", "filters", "metrics", "shipped"),
    ("tasks",),
    ("config", "data"),
    ("scoring",),
    ("registry", "training"),
    ("evaluation", "restoring"),
    ("runs", "serving", "video"),
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
    rooms = {room_of(module) for module in touches(file, source) if module.startswith("pipeline.")} - {own}
    return sorted(room for room in rooms if LEVELS[room] >= LEVELS[own])


PIPELINE = [file for file in FILES if file.startswith("pipeline/")]


def test_a_room_imports_only_rooms_below_it() -> None:
    assert broken(lambda file: upward_imports(file, FILES[file]), PIPELINE) == {}


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
        ("data/order.py", "import pipeline\npipeline.runs.fleet.run()", ["runs"]),
        ("data/order.py", "run([sys.executable, '-c', 'from pipeline.runs import fleet'])", ["runs"]),
        ("data/order.py", "run([sys.executable, '-mpipeline.runs.fleet'])", ["runs"]),
        ("data/order.py", "run('python -m pipeline.runs.fleet')", ["runs"]),
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
        ("pipeline/data/order.py", "from pipeline.training.outage import ray", [f"ray belongs to {DOORS['ray']}"]),
        ("pipeline/data/order.py", "from tests.imports import module_name", ["pipeline may not know tests.imports"]),
        ("jobs/evaluate.py", "import tests", ["jobs may not know tests"]),
        ("pipeline/data/order.py", "import boto3", [f"boto3 belongs to {DOORS['boto3']}"]),
        ("tools/made.py", "import pipeline.errors", ["tools may not know pipeline.errors"]),
        ("tools/made.py", "import ray", [f"ray belongs to {DOORS['ray']}"]),
    ],
)  # fmt: skip
def test_a_way_past_the_doors_is_seen(file: str, source: str, wrong: list[str]) -> None:
    assert trespasses(file, source) == wrong


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, or none."""
    remaining = {module: set(targets) for module, targets in arrows.items()}
    while free := [module for module, targets in remaining.items() if not targets & remaining.keys()]:
        for module in free:
            del remaining[module]
    return sorted(remaining)


def packages_of(module: str) -> set[str]:
    """The packages that a module lies in: importing it runs them first."""
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def arrows(files: Mapping[str, str]) -> dict[str, set[str]]:
    """Module → the modules of ours that importing it runs, but for the packages that it lies in, which run already."""
    found = {}
    for file, source in files.items():
        own = module_name(file)
        direct = set(imports(file, source)) & NAMES
        around = {package for module in direct for package in packages_of(module)} & NAMES
        found[own] = (direct | around - packages_of(own)) - {own}
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(arrows(FILES)) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["a", "b", "c"]
    assert circle({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize("source", ["from .norm import x", "from . import norm", "from semanir import norm"])
def test_a_circle_is_seen(source: str) -> None:
    made = arrows({"semanir/norm.py": "import semanir.heads", "semanir/heads.py": source})
    assert circle(made) == ["semanir.heads", "semanir.norm"]


def test_a_circle_through_a_package_is_seen() -> None:
    made = arrows({
        "semanir/heads.py": "from semanir.ops.precision import x",
        "semanir/ops/__init__.py": "from semanir.heads import y",
        "semanir/ops/precision.py": "",
    })  # fmt: skip
    assert circle(made) == ["semanir.heads", "semanir.ops"]
    # What a package imports of itself may import its neighbors: the package runs already.
    assert circle(arrows({"semanir/ops/__init__.py": "from .precision import x", "semanir/ops/precision.py": ""})) == []


def test_a_file_holds_one_idea() -> None:
    lines = {file: len(source.splitlines()) for file, source in ALL.items()}
    most = {file: MAX_JOB_LINES if file.startswith("jobs/") else MAX_LINES for file in ALL}
    assert {file: count for file, count in lines.items() if count > most[file]} == {}
