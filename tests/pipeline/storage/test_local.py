from __future__ import annotations

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.storage import arrow_filesystem, check_access, open_storage


def test_files_round_trip_by_key_and_by_range(tmp_path):
    store = open_storage(str(tmp_path / "new"))
    store.write("a/b.bin", b"0123456789")
    assert store.read("a/b.bin") == b"0123456789"
    assert store.read_range("a/b.bin", 8, 5) == b"89"
    assert store.read_range("a/b.bin", 50, 5) == b""
    assert (store.size("a/b.bin"), store.exists("a/b.bin"), store.exists("a/c")) == (10, True, False)
    store.delete("a/b.bin")
    store.delete("a/b.bin")
    assert list(store.list()) == []


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    store = open_storage(str(tmp_path))
    store.write("x", b"old")
    with pytest.raises(TypeError):
        store.write("x", 5)  # type: ignore[arg-type]
    assert store.read("x") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_only_if_absent(tmp_path):
    store = open_storage(f"file://{tmp_path}")
    store.write("x", b"1", only_if_absent=True)
    with pytest.raises(FileExistsError):
        store.write("x", b"2", only_if_absent=True)
    assert store.read("x") == b"1"


def test_listing_is_sorted_and_filtered(tmp_path):
    store = open_storage(str(tmp_path))
    for key in ("b/2", "a", "b/1"):
        store.write(key, b"xy")
    assert [(entry.key, entry.size) for entry in store.list()] == [("a", 2), ("b/1", 2), ("b/2", 2)]
    assert [entry.key for entry in store.list("b/")] == ["b/1", "b/2"]


def test_folders_without_objects_go_and_all_others_stay(tmp_path):
    store = open_storage(str(tmp_path))
    store.prune("notes")  # there is none
    for folder in ("notes/a", "notes/b/c", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "notes/b/.writing-x").write_bytes(b"half")
    store.write("notes/a/kept", b"x")
    store.prune("notes")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "notes", "notes/a", "notes/a/kept", "other",
    ]  # fmt: skip
    store.delete("notes/a/kept")
    store.prune("notes")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "", "a//b", "a\\b"])
def test_a_key_cannot_leave_the_folder(tmp_path, key):
    with pytest.raises(ValueError, match="leaves its folder or is empty"):
        open_storage(str(tmp_path)).read(key)


def test_addresses_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="scheme 'gs' is not known"):
        open_storage("gs://bucket/x")
    with pytest.raises(UserError, match="write s3://bucket/prefix"):
        open_storage("s3:///x")


def test_access_needs_a_folder_that_can_be_written(tmp_path):
    check_access(str(tmp_path / "not" / "yet"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; a folder is needed"):
        check_access(str(tmp_path / "file"))


def test_arrow_gets_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert arrow_filesystem("runs/x")[1] == str(tmp_path / "runs/x")


def test_a_file_is_copied_in_whole_and_atomically(tmp_path):
    store = open_storage(str(tmp_path / "store"))
    (tmp_path / "large").write_bytes(b"x" * (3 * 2**20 + 5))
    store.write_file("a/large.bin", tmp_path / "large")
    assert store.read("a/large.bin") == (tmp_path / "large").read_bytes()
    with pytest.raises(FileNotFoundError):
        store.write_file("a/large.bin", tmp_path / "missing")
    assert [entry.key for entry in store.list()] == ["a/large.bin"]


@given(
    st.sets(st.lists(st.sampled_from(["a", "b", "a.png", "a-", "é", "a0"]), min_size=1, max_size=3).map(tuple)),
    st.sampled_from(["", "a", "a/", "a.", "b/a", "é"]),
)
def test_folders_are_listed_in_the_order_of_whole_keys(names, prefix):
    # A name cannot be both a file and a folder.
    folders = {name[:length] for name in names for length in range(1, len(name))}
    keys = {"/".join(name) for name in names - folders}
    with tempfile.TemporaryDirectory() as folder:
        store = open_storage(folder)
        for key in keys:
            store.write(key, b"")
        store.write(".hidden/a", b"")
        assert [entry.key for entry in store.list(prefix)] == sorted(key for key in keys if key.startswith(prefix))
