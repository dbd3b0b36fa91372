"""What is listed of a folder as people have them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.images.folders import Found, find_images
from pipeline.restoring.read import SUFFIXES
from pipeline.serving.batch.names import check_places, list_names, stands_for_none
from pipeline.storage import open_storage
from pipeline.storage.base import Entry


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


def test_what_is_passed_over_is_counted_as_a_run_on_this_machine_counts_it(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "notes.txt", ".hidden.png", ".hidden.txt", "README", "other/c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    (tmp_path / "in/circle.png").symlink_to("circle.png")
    (tmp_path / "in/nowhere.png").symlink_to("gone.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    here, on_ray = find_images(tmp_path / "in", SUFFIXES), Found()
    list(list_names(open_storage(str(tmp_path / "in")), on_ray))
    assert on_ray == replace(here, files=[])
    assert on_ray.left_out.total() == 6
    (tmp_path / "in/album").symlink_to(tmp_path)
    list(list_names(open_storage(str(tmp_path / "in")), on_ray))
    assert on_ray.left_out["linked folders"] == 1


class Bucket:
    """S3 knows no hidden names, and lists all."""

    def exists(self, key: str) -> bool:
        return False

    def list(self, **_: object) -> list[Entry]:
        return [Entry(key, 1, "") for key in (".DS_Store", ".trash/a.png", "a.png", "b/._a.png", "b/c.txt", "d/")]


def test_hidden_names_of_s3_are_passed_over_as_those_of_a_folder() -> None:
    found = Found()
    assert [name.source for name in list_names(Bucket(), found)] == ["a.png"]  # type: ignore[arg-type]
    assert found.left_out == {"hidden images": 2, ".txt": 1}


ODD = st.lists(st.sampled_from([b"a", b"\x80", b"\xe9", b"\xff", "é".encode(), b".png", "😀".encode()]), min_size=1)


@given(st.sets(st.lists(ODD.map(b"".join), min_size=1, max_size=2).map(b"/".join), max_size=8))
def test_names_that_are_not_utf8_keep_their_places_and_can_be_stored(keys: set[bytes]) -> None:
    folders = {key.partition(b"/")[0] for key in keys if b"/" in key}
    with tempfile.TemporaryDirectory() as made:
        for key in keys - folders:
            path = Path(made, os.fsdecode(key + b".png" if b"/" in key else key))
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
        found = list(list_names(open_storage(made)))
    assert [name.source for name in found] == sorted({name.source for name in found})
    for name in found:
        assert name.source.encode()
        assert (name.key == "") == stands_for_none(name.source)
        assert name.key in ("", name.source)


def test_a_name_that_is_no_utf8_is_told_from_the_others(tmp_path: Path) -> None:
    for name in (b"good.png", b"gru\xdf.png", b"gru\xdf.txt", b"gr\xfc/a.png", "grü.png".encode()):
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert names(tmp_path) == ["good.png", "gru\ud7ff%DF.png", "grü.png", "gr\ud7ff%FC/a.png"]


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
