from __future__ import annotations

import pickle

import numpy as np
import pytest
from boto3.s3.transfer import TransferConfig

from pipeline.errors import UserError
from pipeline.storage import StorageUnavailable, arrow_filesystem, check_access, open_storage
from pipeline.storage import s3 as s3_module
from pipeline.storage.ranged_file import RangedFile

UNUSED = "http://127.0.0.1:9"  # the discard port: refused at once


def test_objects_round_trip_by_key_and_by_range(seaweed):
    store = open_storage("s3://tests/round")
    store.write("a/one.bin", b"0123456789")
    assert store.uri == "s3://tests/round"
    assert store.read("a/one.bin") == b"0123456789"
    assert store.read_range("a/one.bin", 3, 4) == b"3456"
    assert store.read_range("a/one.bin", 8, 4) == b"89", "a range past the end is cut short"
    assert store.read_range("a/one.bin", 20, 4) == b""
    assert store.size("a/one.bin") == 10
    assert store.exists("a/one.bin")
    store.delete("a/one.bin")
    assert not store.exists("a/one.bin")


def test_listing_is_relative_and_sorted(seaweed):
    store = open_storage("s3://tests/listing")
    for number in reversed(range(5)):
        store.write(f"x/{number}", b"." * number)
    open_storage("s3://tests/listing-other").write("y", b"")
    assert [(entry.key, entry.size) for entry in store.list()] == [(f"x/{n}", n) for n in range(5)]
    assert [entry.key for entry in store.list("x/3")] == ["x/3"]


def test_only_if_absent_refuses_an_existing_object(seaweed):
    store = open_storage("s3://tests/absent")
    store.write("once", b"first", only_if_absent=True)
    with pytest.raises(FileExistsError, match="s3://tests/absent/once"):
        store.write("once", b"second", only_if_absent=True)
    assert store.read("once") == b"first"


@pytest.mark.parametrize("call", [lambda s: s.read("no"), lambda s: s.read_range("no", 0, 1), lambda s: s.size("no")])
def test_a_missing_object_is_named(seaweed, call):
    with pytest.raises(FileNotFoundError, match="s3://tests/missing/no"):
        call(open_storage("s3://tests/missing"))


def test_a_ranged_file_reads_what_it_is_asked_for(seaweed):
    store = open_storage("s3://tests/ranged")
    store.write("f", bytes(range(100)))
    with RangedFile(store, "f") as file:
        file.seek(-10, 2)
        assert file.read(4) == bytes(range(90, 94))
        assert file.read() == bytes(range(94, 100))
        assert file.read(1) == b""


def test_access_is_granted_to_the_right_bucket(seaweed):
    check_access("s3://tests/any/prefix")


def test_a_missing_bucket_is_one_clear_line(seaweed):
    with pytest.raises(UserError, match=r"bucket 'nowhere' does not exist at http://127") as caught:
        check_access("s3://nowhere/x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("AWS_ACCESS_KEY_ID", "wrong"), ("AWS_SECRET_ACCESS_KEY", "wrong")])
def test_wrong_credentials_are_one_clear_line_without_the_secret(seaweed, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="rejects the S3 credentials") as caught:
        check_access("s3://tests")
    assert seaweed.secret_key not in str(caught.value)
    with pytest.raises(PermissionError):
        open_storage("s3://tests").read("x")


def test_missing_credentials_say_which_variables_to_set(seaweed, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        check_access("s3://tests")


def test_a_silent_endpoint_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", UNUSED)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(UserError, match=f"no S3 server answers at {UNUSED}"):
        check_access("s3://tests")
    with pytest.raises(StorageUnavailable, match="bring the store back"):
        open_storage("s3://tests", deadline_s=0.3).read("x")


def test_arrow_writes_where_the_store_reads_and_pickles_no_secret(seaweed):
    filesystem, path = arrow_filesystem("s3://tests/arrow")
    assert filesystem.type_name == "py::s3"
    frozen = pickle.dumps(filesystem)
    assert seaweed.secret_key.encode() not in frozen
    with pickle.loads(frozen).open_output_stream(f"{path}/file") as stream:  # noqa: S301 - our own bytes
        stream.write(b"arrow")
    assert open_storage("s3://tests/arrow").read("file") == b"arrow"


def test_a_large_file_goes_up_in_parts_and_comes_back_whole(seaweed, tmp_path, monkeypatch):
    parts = TransferConfig(multipart_threshold=2**20, multipart_chunksize=5 * 2**20, use_threads=False)
    monkeypatch.setattr(s3_module, "PARTS", parts)
    data = np.random.default_rng(0).bytes(11 * 2**20 + 17)
    (tmp_path / "large").write_bytes(data)
    store = open_storage("s3://tests/parts")
    store.write_file("large.bin", tmp_path / "large")
    assert store.size("large.bin") == len(data)
    assert store.read("large.bin") == data
    (entry,) = store.list()
    assert entry.version.endswith("-3"), "the ETag of an object that came in three parts"
    store.copy("large.bin", "copied/large.bin")
    copied = next(store.list("copied/"))
    assert copied.size == len(data)
    assert copied.version.endswith("-3"), "it was copied in parts too"
    assert store.read("copied/large.bin") == data
    with pytest.raises(FileNotFoundError, match="s3://tests/parts/gone"):
        store.copy("gone", "copied/gone")
    store.delete("copied/large.bin")
    store.delete("large.bin")
