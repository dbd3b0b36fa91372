"""A result belongs to whoever the umask says: written through a scratch file, it must not keep that file's 0600."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.restoring.read import read_picture
from pipeline.restoring.write import write_picture
from pipeline.storage import open_storage


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_restored_file_has_the_mode_that_any_program_would_give(tmp_path: Path, umask: int) -> None:
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "in.png")
    write_picture(tmp_path / "out.png", read_picture(tmp_path / "in.png"))
    assert mode(tmp_path / "out.png") == mode(tmp_path / "in.png") == 0o666 & ~umask


def test_what_storage_writes_others_may_read(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"1")
    storage = open_storage(str(tmp_path / "store"))
    storage.write("a", b"1")
    storage.write_file("b", tmp_path / "source")
    assert [mode(tmp_path / "store" / name) for name in "ab"] == [0o644, 0o644]
