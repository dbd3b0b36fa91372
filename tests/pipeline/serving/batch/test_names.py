"""What is listed of a folder as people have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.serving.batch.names import list_names
from pipeline.storage import open_storage


def names(folder: Path) -> list[str]:
    return [name.source for name in list_names(open_storage(str(folder)))]


def test_odd_names_are_kept_and_what_holds_no_image_is_passed_over(tmp_path: Path) -> None:
    for name in ("Büro am See.png", "sub dir/ß.JPG", "two\nlines.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "nowhere.png").symlink_to("gone.png")
    (tmp_path / "itself").symlink_to(".")
    (tmp_path / "link.png").symlink_to("Büro am See.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert names(tmp_path) == ["Büro am See.png", "link.png", "sub dir/ß.JPG", "two\nlines.png"]


def test_a_name_that_is_no_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(b"x")
    (tmp_path / os.fsdecode(b"gru\xdf.png")).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"gru\xdf.txt")).write_bytes(b"x")
    with pytest.raises(UserError, match=r"the name of image 'gru%DF\.png' .* rename it") as raised:
        names(tmp_path)
    assert "\n" not in str(raised.value)
