"""A folder that cannot be written is said to be so, with the cause, before anything runs."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import UserError
from pipeline.storage.ask_store import check_access


def test_a_read_only_file_system_is_not_called_a_matter_of_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read_only(path: str) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(f_flag=os.ST_RDONLY | os.ST_NOSUID)

    check_access(str(tmp_path / "a/b"))
    monkeypatch.setattr(os, "statvfs", read_only)
    with pytest.raises(
        UserError, match=rf"{tmp_path}/a/b cannot be written: the file system of {tmp_path} is read-only"
    ):
        check_access(str(tmp_path / "a/b"))
    assert asked == [str(tmp_path)]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file is a file; a folder is needed here"):
        check_access(str(tmp_path / "file"))
