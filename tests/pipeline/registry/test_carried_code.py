from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

import semanir
from pipeline.registry.carried_code import import_carried, tree_digest


def carry(root: Path, answer: int, extra: str = "") -> Path:
    """A package that calls itself semanir and imports itself in every usual way."""
    package = root / "semanir"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import semanir as itself\nfrom semanir.answer import ANSWER\nfrom semanir.inner import late, twice\n"
    )
    (package / "answer.py").write_text(f"ANSWER = {answer}\n")
    (package / "inner" / "__init__.py").write_text(
        "import torch\n"
        "from semanir.answer import ANSWER\n"
        "from .. import answer\n"
        "@torch.library.custom_op('semanir::carried_test', mutates_args=())\n"
        "def op(x: torch.Tensor) -> torch.Tensor:\n"
        "    return x * ANSWER\n"
        "def twice(x):\n"
        "    return torch.ops.semanir.carried_test(x) * 2\n"
        "def late():\n"
        "    from semanir.answer import ANSWER\n"
        "    return ANSWER + answer.ANSWER\n" + extra
    )
    return root


def test_carried_packages_meet_neither_each_other_nor_the_installed_one(tmp_path: Path) -> None:
    three, five = carry(tmp_path / "three", 3), carry(tmp_path / "five", 5)
    a, b = import_carried(three, "semanir"), import_carried(five, "semanir")
    x = torch.ones(1)
    assert (a.ANSWER, b.ANSWER) == (3, 5)
    assert (a.late(), b.late()) == (6, 10)
    assert (a.twice(x).item(), b.twice(x).item()) == (6, 10)
    assert a.itself is a
    assert not hasattr(torch.ops.semanir, "carried_test")
    assert sys.modules["semanir"] is semanir
    assert import_carried(three, "semanir.inner").twice is a.twice


def test_equal_trees_share_one_import_and_leave_no_bytecode(tmp_path: Path) -> None:
    first, second = carry(tmp_path / "first", 7), carry(tmp_path / "second", 7)
    assert tree_digest(first) == tree_digest(second)
    assert import_carried(first, "semanir") is import_carried(second, "semanir")
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_module_is_imported_late_though_the_first_copy_is_gone(tmp_path: Path) -> None:
    first, second = carry(tmp_path / "first", 11), carry(tmp_path / "second", 11)
    for root in (first, second):
        (root / "semanir" / "lazy.py").write_text("from semanir.answer import ANSWER\n")
    import_carried(first, "semanir")
    shutil.rmtree(first)
    assert import_carried(second, "semanir.lazy").ANSWER == 11


def test_what_cannot_be_renamed_or_is_not_carried_is_refused(tmp_path: Path) -> None:
    root = carry(tmp_path / "dotted", 1, extra="import semanir.answer\n")
    with pytest.raises(ImportError, match=r"'from … import' instead of 'import semanir\.answer'"):
        import_carried(root, "semanir")
    with pytest.raises(ModuleNotFoundError):
        import_carried(carry(tmp_path / "other", 2), "pipeline")


def test_the_real_package_can_be_carried(tmp_path: Path) -> None:
    shutil.copytree(Path(semanir.__file__).parent, tmp_path / "semanir", ignore=shutil.ignore_patterns("*.pyc"))
    carried = import_carried(tmp_path, "semanir")
    assert carried is not semanir
    model = semanir.create_model("ushape_tiny", zero_init_last=False)
    copy = carried.build_model(carried.ModelConfig.from_dict(model.config.to_dict()))
    assert type(copy) is not type(model)
    copy.load_state_dict(model.state_dict())
    x = torch.rand(1, 3, 19, 26)
    assert torch.equal(model.eval()(x), copy.eval()(x))
    leaked = [m for m in vars(carried).values() if getattr(m, "__module__", "").startswith("semanir")]
    assert not leaked
