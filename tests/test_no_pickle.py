"""No file of ours unpickles anything or runs text as code; and data is read without mosaicml's reader."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.imports import Reader, parsed
from tests.tree import ROOT, files

# Packages that read what can run code on the way.
UNPICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
# Functions that do, by their full names; of those that end in a star, all that begin so.
WRONG = (
    "torch.load", "torch.save", "torch.package*", "torch.jit.load", "torch.hub*", "torch.serialization*",
    "torch.distributed.*_object*", "numpy.lib.format.read_array", "pandas.read_pickle", "pandas.to_pickle",
    "mlflow.pytorch*", "mlflow.sklearn*", "builtins.eval", "builtins.exec", "builtins.compile", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load",
)  # fmt: skip
BUILTINS = {"eval", "exec", "compile"}
GATHERED = "ranks of one run tell each other, over the connection that their gradients take"
# What a file has of these, and why that reads nobody else's pickle.
ALLOWED: dict[str, tuple[set[str], str]] = {
    "pipeline/registry/carried_code.py": (
        {"builtins.compile"},
        "the source that a registered model carries, whose digests were proven first",
    ),
    "pipeline/training/damage.py": ({"torch.distributed.all_gather_object"}, GATHERED),
    "pipeline/training/left_out.py": ({"torch.distributed.all_gather_object"}, GATHERED),
    "pipeline/training/resume.py": ({"torch.distributed.all_gather_object"}, GATHERED),
    "pipeline/training/validate.py": ({"torch.distributed.all_gather_object"}, GATHERED),
}
FILES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("pipeline", "semanir", "jobs")
    for path in files(".py", folder=ROOT / folder)
]
DATA = ("pipeline/data/", "pipeline/storage/", "pipeline/degradations/")


def unpickles(file: str, source: str) -> Iterator[str]:
    """What of a file unpickles, or runs a text as code: imports and full names, called or handed on."""
    reader, tree = Reader(file, set()), parsed(source)
    yield from (name for name in reader.imports(source) if name.split(".")[0] in UNPICKLING)
    bound = reader.bound(tree)
    yield from filter(wrong, bound.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and wrong(name := full_name(node, bound)):
            yield name
        if isinstance(node, ast.Call):
            yield from (f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords if allows(word))
            if full_name(node.func, bound) == "numpy.load" and len(node.args) > 2:
                yield ast.unparse(node)
        if isinstance(node, ast.Dict) and any(
            isinstance(k, ast.Constant) and k.value == "allow_pickle" for k in node.keys
        ):
            yield ast.unparse(node)


def full_name(node: ast.AST, bound: dict[str, str]) -> str:
    """``np.load`` → ``numpy.load``, ``load`` → ``torch.load`` where it was imported from there; else as it stands."""
    if isinstance(node, ast.Attribute):
        return f"{full_name(node.value, bound)}.{node.attr}"
    if isinstance(node, ast.Name):
        return bound.get(node.id, f"builtins.{node.id}" if node.id in BUILTINS else node.id)
    return ""


def wrong(name: str) -> bool:
    return any(matches(name, each) for each in WRONG)


def matches(name: str, pattern: str) -> bool:
    if "_object" in pattern:  # all_gather_object, broadcast_object_list, send_object_list
        return name.startswith("torch.distributed.") and "_object" in name
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def allows(word: ast.keyword) -> bool:
    """Whether a call's ``word=value`` lets NumPy unpickle, or torch."""
    wanted = {"allow_pickle": "False", "weights_only": "True"}.get(word.arg or "")
    return wanted is not None and ast.unparse(word.value) != wanted


@pytest.mark.parametrize("file", FILES)
def test_no_file_of_ours_unpickles(file: str) -> None:
    found = set(unpickles(file, (ROOT / file).read_text(encoding="utf-8")))
    expected, _ = ALLOWED.get(file, (set(), ""))
    assert found == expected, "say in ALLOWED why nobody else's pickle is read there, or read it otherwise"


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith(DATA)])
def test_data_is_read_without_mosaicml(file: str) -> None:
    source = (ROOT / file).read_text(encoding="utf-8")
    assert not {"streaming"} & {name.split(".")[0] for name in Reader(file, set()).imports(source)}


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 300
    assert set(ALLOWED) <= set(FILES)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import dill as d", "import cloudpickle",
        "import joblib.externals",
        "def late():\n    import marshal", "import_module('shelve')", "__import__('_pickle')",
        "import torch\ntorch.load(file)", "import torch as t\nt.load(file, weights_only=True)",
        "from torch import load", "from torch import load as read\nread(file)", "partial(read, weights_only=False)",
        "import torch\nreaders = {'.pth': torch.load}", "import torch.serialization\ntorch.serialization.load(file)",
        "import torch.distributed as dist\ndist.broadcast_object_list(found)",
        "from torch import distributed\ndistributed.all_gather_object(found, own)",
        "import numpy as np\nnp.load(file, allow_pickle=True)", "import numpy as np\nnp.load(file, None, True)",
        "import numpy as np\nnp.load(file, allow_pickle=trusted)", "from numpy import load\nload(file, allow_pickle=1)",
        "import numpy as np\nnp.load(file, **{'allow_pickle': True})", "partial(load, allow_pickle=True)",
        "import mlflow\nmlflow.pytorch.load_model(uri)", "import pandas as pd\npd.read_pickle(file)",
        "eval(text)", "exec(text)", "map(eval, texts)", "import builtins\nbuiltins.exec(text)",
        "code = compile(text, '', 'eval')", "import yaml\nyaml.load(text, Loader)",
    ],
)  # fmt: skip
def test_a_pickle_would_be_seen(source: str) -> None:
    assert list(unpickles("pipeline/made.py", source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()", "import torch\nmodel = torch.compile(model)", "import re\nre.compile(text)",
        "import numpy as np\nnp.load(file)\nnp.load(file, allow_pickle=False)", "import json\njson.load(file)",
        "from safetensors.torch import load", '"""torch.load(file), of which pickle may make anything."""',
        "import yaml\nyaml.safe_load(text)", "module.load(file)",
    ],
)  # fmt: skip
def test_what_only_looks_so_is_left_alone(source: str) -> None:
    assert list(unpickles("pipeline/made.py", source)) == []
