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


def private_names(path: Path) -> Iterator[str]:
    """What a file imports of, or touches on, others' private parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("ray", "deepspeed"):
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from (f"{node.module}: {name}" for name in names if name.startswith("_"))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "super()"):
                yield f"{owner}.{node.attr}"


def allowed() -> set[str]:
    listed = {name for names in (*ray_internals.ATTRIBUTES.values(), *deepspeed_names().values()) for name in names}
    return {name for name in listed if name.startswith("_")}


@pytest.mark.parametrize("path", [*sorted((PIPELINE / "training").glob("*.py")), PIPELINE / "cluster.py"])
def test_no_other_file_reaches_for_them(path: Path) -> None:
    if path.relative_to(PIPELINE).as_posix() in LISTS:
        return
    assert [name for name in private_names(path) if name.rsplit(".", 1)[-1] not in allowed()] == []


def test_a_reach_would_be_seen(tmp_path: Path) -> None:
    source = "from ray._private.state import state\nfrom deepspeed.runtime import _x\nengine._config.y = 1\n"
    (tmp_path / "bad.py").write_text(source)
    assert len(list(private_names(tmp_path / "bad.py"))) == 3
    assert isinstance(ray_internals, ModuleType)
