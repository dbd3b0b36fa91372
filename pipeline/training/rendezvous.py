"""Where the workers of a run meet: the store through which they find each other asks nobody who they are.

torch opens it on every interface of the machine, also where all workers are told 127.0.0.1: whoever reaches the machine
could read and write what the ranks tell each other. Ranks of one machine need no port for it: they meet in a file that
only their own user reaches. Others listen where they are told, and nowhere else. What ranks then send each other goes
by gloo, which asks nobody either: in the file they also tell whom they know (known_peers.py).
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch.distributed import FileStore, Store, TCPStore

from pipeline.training.known_peers import know_peers
from pipeline.training.scratch import private_folder

Sight = tuple[str, int, int, int]


def meeting_place() -> str:
    """A new folder, of rank 0 for one group. If its process is killed, the next that keeps something clears it away."""
    return str(private_folder("meeting"))


def sight_of(folder: str) -> Sight | None:
    """What this process sees there: equal for two processes only when they are on one machine, and it is one folder.

    A container with a network of its own counts as a machine: to gloo it is one.
    """
    try:
        status, network = os.stat(folder), os.stat("/proc/self/ns/net").st_ino
        return Path("/proc/sys/kernel/random/boot_id").read_text(), network, status.st_dev, status.st_ino
    except OSError:
        return None


def is_shared(sights: Iterable[Sight | None]) -> bool:
    """Whether all ranks see one folder of one machine. Locks of a network's file system are not to be relied on."""
    different = set(sights)
    return len(different) == 1 and None not in different


def meet_in(folder: str | None) -> None:
    """From now on this process meets its group in ``folder``, or where that is None at the address that it is told.

    Args:
        folder: made for this group alone: in the file of a group that was killed, the next would look for the dead.
    """
    module: Any = import_module(
        "torch.distributed.rendezvous"
    )  # an import statement gets torch's function of that name
    module.TCPStore = functools.partial(_store, folder)
    know_peers(folder is not None)


def end_meeting(folder: str) -> None:
    """Once no rank is in the group any more."""
    shutil.rmtree(folder, ignore_errors=True)


def _store(
    folder: str | None, *, host_name: str, port: int, is_master: bool, world_size: int, **settings: Any
) -> Store:
    if folder is not None:
        return FileStore(f"{folder}/{port}", world_size)
    if is_master:
        family, *_, address = socket.getaddrinfo(host_name, port, type=socket.SOCK_STREAM)[0]
        settings["master_listen_fd"] = socket.create_server(address[:2], family=family).detach()  # torch closes it
    return TCPStore(host_name=host_name, port=port, world_size=world_size, is_master=is_master, **settings)
