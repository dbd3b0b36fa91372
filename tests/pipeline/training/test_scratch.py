"""A killed worker's unsent checkpoint is cleared away by the next one; a living worker's, and another's, stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.training import scratch

WORKER = """
from pipeline.training.scratch import checkpoint_folder
folder = checkpoint_folder()
(folder / "weights").write_bytes(b"x")
print(folder, flush=True)
input()
"""


def start(place: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER], env=os.environ | {"TMPDIR": str(place)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "semanir-checkpoints-file").write_text("no folder")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "semanir-checkpoints-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "another's").mkdir()
    return tmp_path


def test_only_what_dead_workers_left_is_cleared_away(place: Path) -> None:
    killed, left = start(place)
    living, kept = start(place)
    assert left.stat().st_mode & 0o077 == 0
    killed.kill()
    killed.wait()
    assert (left / "weights").is_file()
    new, own = start(place)
    assert not left.parent.exists()
    assert (kept / "weights").is_file()
    for process in (living, new):
        process.communicate("done\n", timeout=60)
    assert not kept.parent.exists()
    assert not own.parent.exists()
    assert {path.name for path in place.iterdir()} == {
        "semanir-checkpoints-file", "semanir-checkpoints-link", "elsewhere", "another's"
    }  # fmt: skip


def test_a_folder_that_is_cleared_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter([tmp_path / "cleared", tmp_path / "kept"])
    (tmp_path / "kept").mkdir()  # the first is gone before it can be opened
    monkeypatch.setattr(scratch, "clear_left", lambda: None)
    monkeypatch.setattr(scratch, "mkdtemp", lambda prefix: str(next(made)))
    assert scratch._of_this_process.__wrapped__() == tmp_path / "kept"
