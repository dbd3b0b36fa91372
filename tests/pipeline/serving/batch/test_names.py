"""What is listed of a folder as people have them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.serving.batch.names import check_places, list_names
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


@contextmanager
def as_one_who_owns_nothing() -> Iterator[None]:
    """Root may read all: while the block runs this process counts as another user."""
    owner = os.geteuid()
    if owner == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(owner)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o300], ids=["closed", "names alone", "no names"])
def test_a_folder_that_may_not_be_read_stands_for_its_images_in_its_place(mode: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in ("a.png", "locked/deep/b.png", "locked.png", "locked/c.png", "z/d.png", "zz/e.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")
        folder.chmod(0o755)  # a folder that tempfile makes is its owner's alone
        closed = [folder / "locked", folder / "zz"]
        for one in closed:
            one.chmod(mode)
        try:
            with as_one_who_owns_nothing():
                assert names(folder) == ["a.png", "locked.png", "locked/", "z/d.png", "zz/"]
                with pytest.raises(PermissionError, match="locked"):
                    list(open_storage(str(folder)).list())  # what is packed as training data leaves nothing out
        finally:
            for one in closed:
                one.chmod(0o755)


def test_a_source_that_may_not_be_read_at_all_is_no_empty_one() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made, "photos")
        folder.mkdir()
        Path(made).chmod(0o755)
        folder.chmod(0o000)
        with as_one_who_owns_nothing():
            with pytest.raises(UserError, match="photos' may not be read"):
                check_places(str(folder), made + "/out")
            with pytest.raises(PermissionError, match="photos"):
                names(folder)


@pytest.mark.parametrize(
    ("output", "wrong"),
    [("s3://b/x/in", "lies in"), ("s3://b/x/in/y", "lies in"), ("s3://b/x", "contains"), ("s3://b", "contains")],
)
def test_places_that_mix_on_s3_are_refused(output: str, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong):
        check_places("s3://b/x/in", output)
    check_places("s3://b/x/in", "s3://b/x/in2")


def test_places_that_mix_through_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos/old").mkdir(parents=True)
    (tmp_path / "link").symlink_to("photos")
    with pytest.raises(UserError, match=r"contains .* choose another --output"):
        check_places(str(tmp_path / "photos/old"), str(tmp_path / "link"))
