"""Arrow's filesystem as Ray is given it: whole through a restart of the server, and plain about a silent one."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.fs
import pytest

from pipeline.storage import StorageUnavailable, arrow_filesystem, open_storage


def write(filesystem: pyarrow.fs.FileSystem, path: str, data: bytes) -> None:
    with filesystem.open_output_stream(path) as stream:
        stream.write(data)


@pytest.fixture
def folder(seaweed: Any) -> Any:
    """A pickled copy of the filesystem, as another process gets it, and a folder in it with one file."""
    original, path = arrow_filesystem("s3://tests/arrow-retry", deadline_s=60)
    filesystem = pickle.loads(pickle.dumps(original))  # noqa: S301 - our own bytes
    assert filesystem == original  # Ray Train asks: a checkpoint elsewhere is none of its own
    filesystem.create_dir(path)
    write(filesystem, f"{path}/old/file", b"old")
    write(filesystem, f"{path}/doomed/file", b"doomed")
    yield filesystem, path
    if seaweed.process is None:
        seaweed.start()
    filesystem.delete_dir(path)


OPERATIONS: dict[str, Callable[[pyarrow.fs.FileSystem, str], Any]] = {
    "write": lambda filesystem, path: write(filesystem, f"{path}/new", b"new"),
    "look": lambda filesystem, path: filesystem.get_file_info(f"{path}/old").type.name,
    "list": lambda filesystem, path: [
        info.base_name for info in filesystem.get_file_info(pyarrow.fs.FileSelector(f"{path}/old"))
    ],
    "read": lambda filesystem, path: filesystem.open_input_stream(f"{path}/old/file").read(),
    "delete": lambda filesystem, path: filesystem.delete_dir(f"{path}/doomed"),
}
ANSWERS = {"write": None, "look": "Directory", "list": ["file"], "read": b"old", "delete": None}


def test_an_outage_is_waited_out(seaweed: Any, folder: Any) -> None:
    filesystem, path = folder
    seaweed.stop()
    back = threading.Timer(1.5, seaweed.start)
    back.start()
    try:
        with ThreadPoolExecutor(len(OPERATIONS)) as pool:
            answers = pool.map(lambda operation: operation(filesystem, path), OPERATIONS.values())
        assert dict(zip(OPERATIONS, answers, strict=True)) == ANSWERS
    finally:
        back.join()
    store = open_storage("s3://tests/arrow-retry")
    assert [entry.key for entry in store.list() if entry.size] == ["new", "old/file"]


def test_after_the_deadline_it_is_said(seaweed: Any, folder: Any) -> None:
    path = folder[1]
    filesystem, _ = arrow_filesystem("s3://tests/arrow-retry", deadline_s=0.5)
    seaweed.stop()
    for operation in OPERATIONS.values():
        with pytest.raises(StorageUnavailable, match=r"arrow-retry.* bring the store back"):
            operation(filesystem, path)


def test_what_is_missing_or_refused_is_an_answer(seaweed: Any, folder: Any) -> None:
    filesystem, path = folder
    assert filesystem.get_file_info(f"{path}/absent").type.name == "NotFound"
    with pytest.raises(FileNotFoundError):
        filesystem.open_input_stream(f"{path}/absent")
    with pytest.raises(OSError, match="mistyped"):
        filesystem.get_file_info(pyarrow.fs.FileSelector("mistyped/folder"))


def test_folders_travel_both_ways(seaweed: Any, folder: Any, tmp_path: Path) -> None:
    filesystem, path = folder
    for number in range(12):  # more than Arrow has threads
        (tmp_path / "there" / str(number)).mkdir(parents=True)
        (tmp_path / "there" / str(number) / "file").write_bytes(bytes([number]) * (number << 16))
    pyarrow.fs.copy_files(str(tmp_path / "there"), f"{path}/copy", destination_filesystem=filesystem)
    pyarrow.fs.copy_files(f"{path}/copy", str(tmp_path / "back"), source_filesystem=filesystem)
    for number in range(12):
        assert (tmp_path / "back" / str(number) / "file").read_bytes() == bytes([number]) * (number << 16)
