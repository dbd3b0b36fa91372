"""Where the workers of a run meet: the store through which they find each other asks nobody who they are."""

from __future__ import annotations

import functools
import socket
from importlib import import_module
from typing import Any


def listen_where_told() -> None:
    """From now on this process's store listens at the address that the other ranks are told, and at no other.

    torch opens it on every interface of the machine, also where all workers are told 127.0.0.1: whoever reaches the
    machine could read and write what the ranks tell each other.
    """
    module: Any = import_module(
        "torch.distributed.rendezvous"
    )  # an import statement gets torch's function of that name
    if not isinstance(module.TCPStore, functools.partial):
        module.TCPStore = functools.partial(_store, module.TCPStore)


def _store(make: Any, *, host_name: str, port: int, is_master: bool, **settings: Any) -> Any:
    if is_master:
        family, *_, address = socket.getaddrinfo(host_name, port, type=socket.SOCK_STREAM)[0]
        settings["master_listen_fd"] = socket.create_server(address[:2], family=family).detach()  # torch closes it
    return make(host_name=host_name, port=port, is_master=is_master, **settings)
