"""Where a worker keeps what only its own user may reach: a checkpoint before it is sent, the file of its meeting.

What a killed worker left there is cleared away by the next one.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp

PREFIX = "semanir-checkpoints-"


def checkpoint_folder() -> Path:
    """A new, empty folder, which only this user reaches; whoever sends the checkpoint removes it."""
    return private_folder("checkpoint")


def private_folder(what: str) -> Path:
    """A new, empty folder for ``what``, gone with this process at the latest."""
    return Path(mkdtemp(prefix=f"{what}-", dir=_of_this_process()))


@cache
def _of_this_process() -> Path:
    """One folder for all that a process keeps, locked while it lives; those of dead ones are removed."""
    clear_left()
    while True:
        folder = Path(mkdtemp(prefix=PREFIX))
        # Another process's clearing may be faster than the lock, or than the opening before it.
        with suppress(FileNotFoundError):
            fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)  # given back however the process ends
        if folder.exists():
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder


def clear_left() -> None:
    """Remove the folders of this user's processes that ended without doing so: a kill leaves a checkpoint's bytes."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # another process clears as well
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its process lives
        finally:
            os.close(descriptor)
