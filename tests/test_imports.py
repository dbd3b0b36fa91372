"""The reader of imports sees every form of them, and says where it cannot."""

from __future__ import annotations

import pytest

from tests.imports import Reader

NAMES = {"pipeline", "pipeline.registry", "pipeline.registry.pull", "pipeline.training.outage", "pipeline.data.order"}
PULL = ["pipeline.registry.pull"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pipeline.registry.pull", PULL),
        ("import pipeline.registry.pull as it", PULL),
        ("from pipeline.registry import pull", PULL),
        ("from pipeline.registry.pull import pull", PULL),
        ("from ..registry.pull import pull", PULL),
        ("from ..registry import pull", PULL),
        ("def late():\n    from pipeline.registry import pull", PULL),
        ("import pipeline\npipeline.registry.pull.pull()", ["pipeline", "pipeline.registry", *PULL]),
        ("import pipeline as p\np.registry.pull.pull()", ["pipeline", "pipeline.registry", *PULL]),
        ("import pipeline.data.order\npipeline.registry", ["pipeline.data.order", "pipeline.registry"]),
        ("from pipeline import registry\nregistry.pull.pull()", ["pipeline.registry", *PULL]),
        ("import_module('pipeline.registry.pull')", PULL),
        ("importlib.import_module(name='pipeline.registry.pull')", PULL),
        ("import_module('.pull', 'pipeline.registry')", ["pipeline.registry", *PULL]),
        ("import_module(package='pipeline.registry', name='.pull')", ["pipeline.registry", *PULL]),
        ("import_module('..registry.pull', __package__)", PULL),
        ("from importlib import import_module as im\nim('pipeline.registry.pull')", ["importlib", *PULL]),
        ("import importlib as il\nil.import_module('pipeline.registry.pull')", ["importlib", *PULL]),
        ("__import__('pipeline.registry.pull')", PULL),
        ("__import__(name='pipeline.registry.pull')", PULL),
        ("__import__('pipeline.registry', fromlist=['pull'])", ["pipeline.registry", *PULL]),
        ("__import__('registry', None, None, ('pull',), 2)", ["pipeline.registry", *PULL]),
        ("builtins.__import__('pipeline.registry.pull')", PULL),
        ("pkgutil.resolve_name('pipeline.registry.pull:pull')", PULL),
        ("pkgutil.resolve_name('pipeline.registry.pull.pull')", PULL),
        ("runpy.run_module('pipeline.registry.pull')", PULL),
        ("sys.modules['pipeline.registry.pull'].pull()", PULL),
        ("importlib.reload(sys.modules['pipeline.registry.pull'])", PULL),
        ("pydoc.locate('pipeline.registry.pull.pull')", PULL),
        ("EntryPoint('pull', 'pipeline.registry.pull:pull', 'a').load()", PULL),
        ("kind: ImportString = 'pipeline.registry.pull:pull'", PULL),
        ("subprocess.run(['python', '-m', 'pipeline.registry.pull'])", PULL),
        ("def late(it: 'pipeline.registry.pull.Located'): ...", PULL),
        ("'It says pipeline.registry.pull of itself.'", []),
        ("runpy.run_module(mod_name='pipeline.registry.pull')", PULL),
        ("from pipeline.training.outage import ray", ["pipeline.training.outage", "ray"]),
        ("from pipeline.training.outage import ray as r", ["pipeline.training.outage", "ray"]),
        ("from pipeline.training import outage\noutage.ray.get(1)", ["pipeline.training.outage", "ray"]),
        ("import pipeline.training.outage as o\no.ray.get(1)", ["pipeline.training.outage", "ray"]),
        ("from importlib import reload as pull\nmodel.eval()", ["importlib"]),
        ("registry = 1\nprint(pipeline.registry)", []),  # a name that is not imported is a variable
    ],
)  # fmt: skip
def test_a_form_of_import_is_read(source: str, found: list[str]) -> None:
    reader = Reader("pipeline/data/order.py", NAMES, {"ray"})
    assert {*reader.imports(source), *reader.reaches(source), *reader.named(source)} == set(found)
    assert reader.hidden(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import_module(f'pipeline.{room}')",
        "import_module('pipeline.' + room)",
        "importlib.import_module(name=room)",
        "import_module('.pull', package)",
        "import_module(**given)",
        "from importlib import import_module as im\nim(room)",
        "__import__(room)",
        "__import__('pipeline', fromlist=rooms)",
        "__import__('pipeline', fromlist=[room])",
        "__import__('pull', level=depth)",
        "pkgutil.resolve_name(room)",
        "runpy.run_module(room)",
        "runpy.run_path('pipeline/registry/pull.py')",
        "spec_from_file_location('pull', path)",
        "spec.loader.exec_module(module)",
        "exec('import pipeline.registry')",
        "builtins.eval(text)",
        "load = importlib.import_module",
        "list(map(__import__, rooms))",
        "getattr(importlib, 'import_module')('ray')",
        "import pipeline\np = pipeline\np.registry.pull.pull()",
        "import pipeline\ngetattr(pipeline, 'registry')",
        "import pipeline.data.order\nvars(pipeline)['registry']",
        "import pipeline\noperator.attrgetter('registry.pull')(pipeline)",
        "from pipeline import registry as r\nrooms = [r]",
    ],
)
def test_an_import_that_cannot_be_read_is_told(source: str) -> None:
    assert len(Reader("pipeline/data/order.py", NAMES).hidden(f"import importlib\n{source}")) == 1


def test_what_runs_at_import_is_told_from_what_runs_later() -> None:
    source = (
        "try:\n    import a\nexcept ImportError:\n    pass\nif TYPE_CHECKING:\n    import b\ndef f():\n    import c"
    )
    reader = Reader("semanir/norm.py", NAMES)
    assert list(reader.imports(source, top_level_only=True)) == ["a"]
    assert sorted(reader.imports(source)) == ["a", "b", "c"]
