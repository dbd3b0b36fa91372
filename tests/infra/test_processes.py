"""Processes are found by their mark, and only the marked ones are ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local import processes

# A process that ignores a polite end and has a child in a session of its own without the mark.
STUBBORN = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
env = {{n: v for n, v in os.environ.items() if n != {processes.MARK!r}}}
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env=env, start_new_session=True)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    """A process of the same user with the mark of a stack elsewhere."""
    env = {**os.environ, processes.MARK: processes.mark(Path("/elsewhere"), "s3")}
    with subprocess.Popen(["sleep", "300"], env=env) as process:
        yield psutil.Process(process.pid)
        process.kill()


def started(folder: Path, code: str, part: str = "s3") -> psutil.Process:
    env = {**os.environ, processes.MARK: processes.mark(folder, part, "settings1")}
    log = folder / "log"
    process = processes.start([sys.executable, "-c", code], env, log, folder)
    while b"ready" not in log.read_bytes():
        assert process.poll() is None, log.read_text()
    return psutil.Process(process.pid)


def test_a_part_ends_with_its_children_and_nobody_else(
    tmp_path: Path, bystander: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_PATIENCE_S", 0.5)
    parent = started(tmp_path, STUBBORN)
    (child,) = parent.children()
    assert processes.find(tmp_path, "s3") == {parent: "settings1", child: "settings1"}
    assert processes.find(tmp_path, "ray") == {}
    assert processes.end(tmp_path, "s3") == 2
    assert not processes.runs(child)
    assert processes.find(tmp_path, "s3") == {}
    assert processes.runs(bystander)


def test_a_folder_whose_name_begins_alike_is_another_stack(tmp_path: Path) -> None:
    other = tmp_path / "stack2"
    other.mkdir()
    process = started(other, "print('ready', flush=True); import time; time.sleep(300)")
    try:
        assert processes.end(tmp_path / "stack", "s3") == 0
        assert process.is_running()
    finally:
        assert processes.end(other, "s3") == 1


def test_ending_nothing_is_fine(tmp_path: Path) -> None:
    assert processes.end(tmp_path, "s3") == 0


def test_a_process_that_ends_between_two_questions_has_ended(
    bystander: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> str:
        raise psutil.NoSuchProcess(bystander.pid)

    assert processes.runs(bystander)
    monkeypatch.setattr(bystander, "status", gone)
    assert not processes.runs(bystander)
