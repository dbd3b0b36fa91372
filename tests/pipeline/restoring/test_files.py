from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipeline.data.packing.sources import folder_sources
from pipeline.errors import UserError
from pipeline.restoring import restore_files as restore_files_module
from pipeline.restoring.files import find_jobs
from pipeline.restoring.restore_files import restore_files
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import write_picture
from tests.pipeline.serving.batch.test_names import as_one_who_owns_nothing


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.png", "b.JPG", "deep/er/a.png", "notes.txt", ".hidden.png", "odd.xyz"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def targets(inputs: list[str], output: Path) -> list[str]:
    return [job.target.relative_to(output).as_posix() for job in find_jobs(inputs, output)]


def test_folders_keep_their_tree_and_pass_other_files_over(tree: Path) -> None:
    assert targets([str(tree / "in")], tree / "out") == ["a.png", "b.JPG", "deep/er/a.png"]


def test_patterns_and_files_go_directly_into_the_output(tree: Path) -> None:
    assert targets([str(tree / "in" / "**" / "er" / "*.png")], tree / "out") == ["a.png"]
    assert targets([str(tree / "in" / "odd.xyz")], tree / "out") == ["odd.xyz"]
    assert targets([str(tree / "in"), str(tree / "in" / "*.png")], tree / "out") == [
        "a.png",
        "b.JPG",
        "deep/er/a.png",
    ]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["empty"], "out", "holds no images"),
        (["nowhere.png"], "out", "input '.*nowhere.png' matches no image file"),
        (["in/*.bmp"], "out", "pattern '.*bmp' matches no image file"),
        (["in/a.png", "in/deep/er/a.png"], "out", "would both become"),
        (["in/a.png"], "in", "would be replaced by its own result"),
    ],
)
def test_bad_inputs_are_named(tree: Path, inputs: list[str], output: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_jobs([str(tree / text) for text in inputs], tree / output)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o300], ids=["closed", "names alone", "no names"])
def test_a_folder_that_may_not_be_read_is_a_failure(mode: int, model_folder: Callable[..., Path]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder, output = Path(made), Path(made, "out")
        folder.chmod(0o755)  # a folder that tempfile makes is its owner's alone
        (folder / "in/locked").mkdir(parents=True)
        (folder / "in/locked/b.png").write_bytes(b"x")
        Image.new("RGB", (8, 8)).save(folder / "in/a.png")
        restorer = Restorer(model_folder(), device="cpu")
        (folder / "in/locked").chmod(mode)
        try:
            with as_one_who_owns_nothing():
                jobs = find_jobs([str(folder / "in")], output)
                with pytest.raises(UserError, match=r"locked' may not be read or entered by this user"):
                    folder_sources(str(folder / "in"))
                with pytest.raises(UserError, match=r"locked may not be read or entered by this user"):
                    find_jobs([str(folder / "in/locked")], output)
        finally:
            (folder / "in/locked").chmod(0o755)
        good, bad = restore_files(restorer, jobs)
        assert (good.job.source.name, good.problem) == ("a.png", "")
        assert bad.job.source == folder / "in/locked"
        assert "its images are not restored" in bad.problem


def three_pictures(folder: Path) -> None:
    """The second is told by its width."""
    folder.mkdir()
    for name, width in (("a.png", 8), ("b.png", 9), ("c.png", 8)):
        Image.new("RGB", (width, 8)).save(folder / name)


def test_a_picture_that_memory_does_not_hold_is_named_and_the_others_go_on(
    model_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU PyTorch says it by a plain RuntimeError, as it says much else: that stays a failure of the run."""
    three_pictures(tmp_path / "in")
    restorer = Restorer(model_folder(), device="cpu")
    forward, fail = restorer.model.forward, [lambda: torch.empty(1 << 50), lambda: torch.zeros(3) + torch.zeros(2)]

    def forward_or_fail(x: torch.Tensor, **options: object) -> torch.Tensor:
        return fail.pop(0)() if x.shape[3] == 9 else forward(x, **options)

    monkeypatch.setattr(restorer.model, "forward", forward_or_fail)
    jobs = find_jobs([str(tmp_path / "in")], tmp_path / "out")
    problems = [outcome.problem for outcome in restore_files(restorer, jobs)]
    assert problems == ["", "not enough memory to restore it; give a smaller --tile", ""]
    again = restore_files(restorer, jobs)
    assert next(again).was_there
    with pytest.raises(RuntimeError, match="must match"):
        list(again)


def test_a_picture_is_written_while_the_next_is_computed(
    model_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_pictures(tmp_path / "in")
    restorer = Restorer(model_folder(), device="cpu")
    forward, second, begun = restorer.model.forward, threading.Event(), []

    def forward_and_tell(x: torch.Tensor, **options: object) -> torch.Tensor:
        if x.shape[3] == 9:
            second.set()
        return forward(x, **options)

    def write_late(*arguments: Any) -> None:
        assert second.wait(60)
        write_picture(*arguments)

    monkeypatch.setattr(restorer.model, "forward", forward_and_tell)
    monkeypatch.setattr(restore_files_module, "write_picture", write_late)
    restorer.begins = lambda source: begun.append(source.name)
    outcomes = list(restore_files(restorer, find_jobs([str(tmp_path / "in")], tmp_path / "out")))
    assert [(one.job.source.name, one.problem) for one in outcomes] == [("a.png", ""), ("b.png", ""), ("c.png", "")]
    assert begun == ["a.png", "b.png", "c.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == begun
