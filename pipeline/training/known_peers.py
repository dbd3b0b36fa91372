"""Whether ranks alone hold the ends of a group's connections: gloo, which carries what ranks send, asks nobody.

While a group forms each rank listens at a port of its own, and whoever comes first takes the place of the rank that was
to come. Ranks of one machine have a file that only their own user reaches (rendezvous.py). There each writes down, once
it is connected and before it sends anything, where it listens and which connections it holds; then each reads what all
have written. In one network an end (address and port) of a connection is held in one place only. So where a rank holds
one end, another rank must hold the other, or else it is a stranger's: another user's, or a program's that is no rank,
root's own too, for it may pass on what others tell it. All ranks read the same, so all come to the same answer, and
none sends anything in a group with a stranger in it.

Who comes later finds no place free, and changes nothing. A stranger can still keep a group from forming, by being there
while it does: each time, that is a failure of the workers, of which a run has ``training.max_failures``.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any

from torch.distributed import ProcessGroupGloo, Store

End = tuple[str, int]  # address and port
Connection = tuple[End, End]  # the end of whoever holds it, and the other
GONE: End = ("", 0)
TABLES = ("/proc/self/net/tcp", "/proc/self/net/tcp6")

_form: Any = ProcessGroupGloo.__init__


class Stranger(Exception):
    """Somebody who is no rank is in the group that formed, so it is not used. Another attempt may find nobody."""


@dataclass(frozen=True)
class Held:
    """A process's TCP sockets: where it listens, and its connections, those that the other side closed among them."""

    listeners: frozenset[End]
    connections: frozenset[Connection]


def know_peers(wanted: bool) -> None:
    """From now on each gloo group of this process, whoever makes it, is used among ranks alone; or as gloo has it.

    DeepSpeed and torch make groups too: this is the one place that all of them pass.
    """
    group_class: Any = ProcessGroupGloo
    group_class.__init__ = _form_among_ranks if wanted else _form


def _form_among_ranks(group: ProcessGroupGloo, store: Store, rank: int, size: int, timeout: timedelta) -> None:
    if size == 1:
        _form(group, store, rank, size, timeout)
        return
    before = held_here()
    _form(group, store, rank, size, timeout)
    now = held_here()
    # What listens since is gloo's; Ray's own listened before.
    store.set(f"held/{rank}", json.dumps([sorted(now.listeners - before.listeners), sorted(now.connections)]))
    keys = [f"held/{number}" for number in range(size)]
    store.wait(keys, timeout)
    refuse_strangers([_read(store.get(key)) for key in keys])


def held_here() -> Held:
    """This process's own, from its open files: the kernel's table of all sockets takes fifty times as long to read."""
    listeners, connections = set(), set()
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # closed since it was listed
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as one:
                if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
                    continue
                here = _end(*one.getsockname()[:2])
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listeners.add(here)
                else:
                    connections.add((here, _other_end(one)))
    return Held(frozenset(listeners), frozenset(connections))


def _other_end(one: socket.socket) -> End:
    try:
        return _end(*one.getpeername()[:2])
    except OSError:  # it has left: what it had sent before could still be read
        return GONE


def refuse_strangers(ranks: Sequence[Held]) -> None:
    """Raise :class:`Stranger` unless each connection to a listener is between two ranks, and any two ranks have one."""
    for connection, port in strangers_in(ranks)[:1]:
        raise Stranger(
            f"port {port}: {_whose(connection)} connected while the workers' group formed, and is no worker; nothing"
            " was sent. If it happens again, train in a network namespace or a container of its own (infra/SECURITY.md)"
        )
    if apart := [pair for pair in combinations(range(len(ranks)), 2) if not _connections(ranks, *pair)]:
        raise Stranger(f"ranks {apart[0]} formed a group without a connection that both know; nothing was sent")


def strangers_in(ranks: Sequence[Held]) -> list[tuple[Connection, int]]:
    """Each connection to a listener whose other end no other rank holds, and the listener's port."""
    listeners = frozenset[End]().union(*(one.listeners for one in ranks))
    found = []
    for number, one in enumerate(ranks):
        for here, there in sorted(one.connections):
            ports = [end[1] for end in (here, there) if end in listeners]  # neither: Ray's, a storage's
            held = any((there, here) in other.connections for at, other in enumerate(ranks) if at != number)
            if ports and not held:
                found.append(((here, there), ports[0]))
    # Whom a rank let in comes first: the rank whose place was taken knocks in vain, and its end has no other either.
    return sorted(found, key=lambda one: one[0][0] not in listeners)


def _connections(ranks: Sequence[Held], one: int, other: int) -> list[Connection]:
    """Those by which the two reach each other."""
    listeners = ranks[one].listeners | ranks[other].listeners
    return [
        (here, there)
        for here, there in ranks[one].connections
        if (there, here) in ranks[other].connections and (here in listeners or there in listeners)
    ]


def _whose(connection: Connection) -> str:
    here, there = connection
    lines = [line for table in TABLES if Path(table).exists() for line in Path(table).read_text().splitlines()]
    uid = owner((there, here), lines)
    return "somebody who has left" if uid is None else f"user {uid}"


def owner(connection: Connection, table: Iterable[str]) -> int | None:
    """The uid of whoever holds ``connection``, by the lines of /proc/net/tcp and tcp6; None: nobody any more."""
    for line in table:
        columns = line.split()
        if ":" not in columns[1]:
            continue  # the heading
        if connection == (_spelled(columns[1]), _spelled(columns[2])) and columns[9] != "0":  # closed: no inode
            return int(columns[7])
    return None


def _spelled(text: str) -> End:
    """``0100007F:1F90`` → 127.0.0.1, 8080: words of four bytes in the machine's order, then the port."""
    address, _, port = text.partition(":")
    words = (int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8))
    return _end(str(ip_address(b"".join(words))), int(port, 16))


def _end(address: str, port: int) -> End:
    """The same for both ends, also where one has a socket of IPv6 and calls 127.0.0.1 ``::ffff:127.0.0.1``."""
    parsed = ip_address(address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed), port


def _read(text: bytes) -> Held:
    listeners, connections = json.loads(text)
    return Held(
        frozenset((address, port) for address, port in listeners),
        frozenset(((here[0], here[1]), (there[0], there[1])) for here, there in connections),
    )
