"""Private parts of Ray and of DeepSpeed: each that is used stands in one list, and the installed versions have it."""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import ray_internals
from tests.tree import files

os.environ.setdefault("DS_ACCELERATOR", "cpu")
PIPELINE = Path(__file__).resolve().parents[2] / "pipeline"
LISTS = ("ray_internals.py", "training/deepspeed_internals.py")


def deepspeed_names() -> dict[str, tuple[str, ...]]:
    from pipeline.training.deepspeed_internals import PRIVATE

    return PRIVATE


def test_the_installed_ray_has_each_private_name() -> None:
    assert [name for name in ray_internals.PRIVATE if getattr(ray_internals, name, None) is None] == []


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


def test_rays_classes_have_the_attributes() -> None:
    attributes = ray_internals.ATTRIBUTES.items()
    assert [f"{where}.{name}" for where, names in attributes for name in names if not has(where, name)] == []


def test_deepspeed_has_each_private_name() -> None:
    missing = {where: [name for name in names if not has(where, name)] for where, names in deepspeed_names().items()}
    assert {where: names for where, names in missing.items() if names} == {}


# The standard library's own: a named tuple's method, and the end of a process that is not to clean up.
PUBLIC = {"_replace", "_exit"}
# Idling on a GPU, while Python fills its queue: torch has no other way, and only the clock of a benchmark asks for it.
# How often a function may be compiled: torch's documentation of torch.compile names this setting so.
TORCH = {"torch.cuda._sleep", "torch._dynamo"}
# Where torch's own documentation says that operators are intercepted, and trees of tensors walked.
DOCUMENTED = {"torch.utils._python_dispatch", "torch.utils._pytree"}
OURS = ("__future__", "pipeline")


# Where the private names of Ray's classes are touched, beside the methods that ours override: ATTRIBUTES lists them.
TOUCHED = {
    "training/elastic.py": {"self.scaling_config._resources_per_worker_not_none"},
    "training/outage.py": {"failure._base_exc"},
}
# In an environment of its own, pinned to one version of LitData: it has no setting for a store without TLS.
PEERS = {"benchmarks/peers/litdata_peer.py": {"downloader._OBSTORE_CLIENT_OPTIONS"}}
DICTIONARIES = ("vars", "__dict__")


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__") and name not in PUBLIC


@cache
def told_by_name() -> set[str]:
    """DeepSpeed's names without an underscore that no other library of ours has: whoever says one means DeepSpeed's."""
    listed = {name for names in deepspeed_names().values() for name in names}
    return {name for name in listed if "_" in name.strip("_") and not name.startswith("_")}


def private_names(path: Path) -> Iterator[str]:
    """What a file imports of, or touches on, others' private parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    telling = told_by_name()
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in OURS:
            if node.module in DOCUMENTED:
                continue
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            if any(map(is_private, names)) or within(node.module):
                yield ast.unparse(node)
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
            yield from (name for name in named if any(map(is_private, name.split("."))) or within(name))
        if isinstance(node, ast.Attribute) and (is_private(node.attr) or node.attr in telling):
            owner = ast.unparse(node.value)
            ours = owner in ("self", "cls", "super()") or node.attr in own
            if not ours and f"{owner}.{node.attr}" not in TORCH:
                yield f"{owner}.{node.attr}"
        if isinstance(node, ast.Subscript) and any(word in ast.unparse(node.value) for word in DICTIONARIES):
            yield from [ast.unparse(node)] if is_private(getattr(node.slice, "value", None)) else []
        if isinstance(node, ast.Call):
            values = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            literals = [value for value in values if isinstance(value, str)]
            called = ast.unparse(node.func).rsplit(".", 1)[-1]
            if called in ("getattr", "hasattr", "setattr", "delattr", "attrgetter"):
                yield from (f"{called} {name}" for name in literals if is_private(name) or name in telling)
            if called in ("import_module", "__import__"):
                yield from (name for name in literals if any(map(is_private, name.split("."))) or within(name))


def within(module: str) -> bool:
    """Whether a module lies where DeepSpeed keeps what is its own, for it spells no underscore there."""
    return module.startswith(("deepspeed.runtime", "deepspeed.ops"))


def test_no_other_file_reaches_for_them() -> None:
    found = {path.relative_to(PIPELINE).as_posix(): set(private_names(path)) for path in PIPELINE.rglob("*.py")}
    assert {file: names for file, names in found.items() if names and file not in LISTS} == TOUCHED | PEERS


# In texts too, as a module that is patched: what lies in a private part of Ray, or in a dashboard's module.
RAYS = re.compile(r"\bray(?:\.\w+)*\.(?:_[a-z]\w*|dashboard)\b")


def test_tests_and_commands_reach_for_rays_through_the_list_too() -> None:
    others = [path for path in files(".py") if not path.is_relative_to(PIPELINE) and path != Path(__file__)]
    found = {path.name: RAYS.findall(path.read_text(encoding="utf-8")) for path in others}
    assert {name: reaches for name, reaches in found.items() if reaches} == {}
    assert len(others) > 200
    assert RAYS.search('patch("ray.train.v2._internal.execution.x")')
    assert RAYS.search("from ray.dashboard.modules import reporter")
    assert not RAYS.search("import ray\nray.init()\nx._private")


def test_what_is_touched_is_listed() -> None:
    listed = {name for names in ray_internals.ATTRIBUTES.values() for name in names}
    assert {name.rpartition(".")[2] for names in TOUCHED.values() for name in names} <= listed


def test_a_reach_would_be_seen(tmp_path: Path) -> None:
    reaches = (
        "from ray._private.state import state", "from deepspeed.runtime import _x", "from mlflow.store import _y",
        "import ray._private.state as s", "engine._config.y = 1", "getattr(engine, '_config')",
        "setattr(engine, '_config', 1)", "import_module('ray._private.state')", "vars(engine)['_config']",
        "engine.__dict__['_config']", "operator.attrgetter('_config')(engine)", "x._global_grad_norm",
        "parameter.ds_id", "self._policy._requester_id", "zero.fp32_partitioned_groups_flat", "other._config",
        "from deepspeed.runtime.zero.stage3 import Stage3", "import deepspeed.runtime.engine",
        "getattr(parameter, 'ds_id')",
    )  # fmt: skip
    (tmp_path / "bad.py").write_text("\n".join(reaches))
    assert len(list(private_names(tmp_path / "bad.py"))) == len(reaches)
    assert isinstance(ray_internals, ModuleType)
