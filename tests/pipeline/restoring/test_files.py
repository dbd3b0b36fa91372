from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.restoring.files import find_jobs


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
