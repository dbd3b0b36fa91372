"""Start, find and end the processes of a stack.

There are no pid files to go stale. Each process is started with a mark in its environment, which its
children inherit, and is found again by it: after a kill -9, after a reboot (none is found), after the
stack's folder was deleted. Nothing without the mark is ever ended.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

MARK = "SEMANIR_STACK_PROCESS"
_PATIENCE_S = 15.0  # for a polite end, before the kill
_MAX_LOG_BYTES = 16 << 20


def mark(folder: Path, part: str, fingerprint: str = "") -> str:
    """The mark of a part's processes; `fingerprint` tells with which settings they were started."""
    return f"{folder}:{part}:{fingerprint}"


def _own_marks() -> dict[psutil.Process, str]:
    """Mark of each marked process of this user."""
    uid = os.getuid()
    found = {}
    for process in psutil.process_iter():
        try:
            if process.uids().real == uid and (value := process.environ().get(MARK)):
                found[process] = value
        except (psutil.Error, OSError):  # gone, a zombie, or not ours to read
            continue
    return found


def find(folder: Path, part: str) -> dict[psutil.Process, str]:
    """Living processes of a part with their fingerprints, descendants that lost the mark included.

    A descendant with another stack's mark is that stack's.
    """
    prefix = mark(folder, part)
    marks = _own_marks()
    found = {p: value.removeprefix(prefix) for p, value in marks.items() if value.startswith(prefix)}
    for process, fingerprint in list(found.items()):
        try:
            descendants = process.children(recursive=True)
        except psutil.Error:
            continue
        for child in descendants:
            if child not in marks and child.pid != os.getpid():
                found[child] = fingerprint
    return found


def start(argv: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that it outlives this one and its terminal."""
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(folder: Path, part: str) -> int:
    """End a part's processes: the ancestors are asked first, whoever stays is killed.

    Returns:
        How many processes there were.
    """
    first = find(folder, part)
    if not first:
        return 0
    pids = {process.pid for process in first}
    for process in first:
        try:
            if process.ppid() not in pids:
                process.terminate()
        except psutil.NoSuchProcess:
            continue
    known = set(first)
    deadline = time.monotonic() + _PATIENCE_S
    while (alive := _alive(known, folder, part)) and time.monotonic() < deadline:
        psutil.wait_procs(alive, timeout=0.25)
    while alive := _alive(known, folder, part):  # a process may start another between two looks
        for process in alive:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(alive, timeout=5)
    return len(known)


def _alive(known: set[psutil.Process], folder: Path, part: str) -> list[psutil.Process]:
    """Those of `known` that still run; `known` grows by newcomers, since an orphan may lose its mark.

    A process object knows its start time: a reused pid is not mistaken for it.
    """
    known.update(find(folder, part))
    return [process for process in known if runs(process)]


def runs(process: psutil.Process) -> bool:
    """Whether the process has not ended; one that ends between two questions has."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
