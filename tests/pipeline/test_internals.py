"""Private parts of Ray and of DeepSpeed: each that is used stands in one list, and the installed versions have it."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import ray_internals

os.environ.setdefault("DS_ACCELERATOR", "cpu")
PIPELINE = Path(__file__).resolve().parents[2] / "pipeline"
LISTS = ("ray_internals.py", "training/deepspeed_internals.py")


def deepspeed_names() -> dict[str, tuple[str, ...]]:
    from pipeline.training.deepspeed_internals import PRIVATE

    return PRIVATE


@pytest.mark.parametrize("name", ray_internals.PRIVATE)
def test_the_installed_ray_has_each_private_name(name: str) -> None:
    assert getattr(ray_internals, name) is not None


def test_a_name_that_is_not_listed_is_not_reached() -> None:
    with pytest.raises(AttributeError, match="not in"):
        _ = ray_internals.TrainController


def has(where: str, name: str) -> bool:
    """Whether the class ``module:Class`` has the attribute ``name`` or sets it on itself, or the module sets it."""
    module_name, _, class_name = where.partition(":")
    module = import_module(module_name)
    if not class_name:
        return hasattr(module, name) or f".{name} =" in inspect.getsource(module)
    found = getattr(module, class_name)
    if hasattr(found, name) or name in getattr(found, "__dataclass_fields__", {}):
        return True
    return any(f"self.{name}" in inspect.getsource(one) for one in found.__mro__ if one.__module__ != "builtins")


@pytest.mark.parametrize("where", ray_internals.ATTRIBUTES)
def test_rays_classes_have_the_attributes(where: str) -> None:
    assert [name for name in ray_internals.ATTRIBUTES[where] if not has(where, name)] == []


def test_deepspeed_has_each_private_name() -> None:
    missing = {where: [name for name in names if not has(where, name)] for where, names in deepspeed_names().items()}
    assert {where: names for where, names in missing.items() if names} == {}


# The standard library's own: a named tuple's method, and the end of a process that is not to clean up.
PUBLIC = {"_replace", "_exit"}
# Idling on a GPU, while Python fills its queue: torch has no other way, and only the clock of a benchmark asks for it.
TORCH = {"torch.cuda._sleep"}
# Where torch's own documentation says that operators are intercepted, and trees of tensors walked.
DOCUMENTED = {"torch.utils._python_dispatch", "torch.utils._pytree"}
OURS = ("__future__", "pipeline")


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def private_names(path: Path) -> Iterator[str]:
    """What a file imports of, or touches on, others' private parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in OURS:
            if node.module in DOCUMENTED:
                continue
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from (f"{node.module}: {name}" for name in names if is_private(name))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if any(map(is_private, alias.name.split("."))))
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "super()", "other") and f"{owner}.{node.attr}" not in TORCH:
                yield f"{owner}.{node.attr}"
        if isinstance(node, ast.Call):
            values = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            literals = [value for value in values if isinstance(value, str)]
            called = ast.unparse(node.func).rsplit(".", 1)[-1]
            if called in ("getattr", "hasattr", "setattr", "delattr"):
                yield from (f"{called} {name}" for name in literals if is_private(name))
            if called in ("import_module", "__import__"):
                yield from (name for name in literals if any(map(is_private, name.split("."))))


def allowed() -> set[str]:
    listed = {name for names in (*ray_internals.ATTRIBUTES.values(), *deepspeed_names().values()) for name in names}
    return {name for name in listed if name.startswith("_")}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PIPELINE.rglob("*.py")) if path.relative_to(PIPELINE).as_posix() not in LISTS],
    ids=lambda path: path.relative_to(PIPELINE).as_posix(),
)
def test_no_other_file_reaches_for_them(path: Path) -> None:
    assert [name for name in private_names(path) if name.rsplit(".", 1)[-1] not in allowed()] == []


def test_a_reach_would_be_seen(tmp_path: Path) -> None:
    reaches = (
        "from ray._private.state import state", "from deepspeed.runtime import _x", "from mlflow.store import _y",
        "import ray._private.state as s", "engine._config.y = 1", "getattr(engine, '_config')",
        "setattr(engine, '_config', 1)", "import_module('ray._private.state')",
    )  # fmt: skip
    (tmp_path / "bad.py").write_text("\n".join(reaches))
    assert len(list(private_names(tmp_path / "bad.py"))) == len(reaches)
    assert isinstance(ray_internals, ModuleType)
