"""Whom ranks know by what they hold, whose an end is by the kernel's table, and what a run makes of a stranger."""

from __future__ import annotations

import ipaddress
import os
import pickle
import socket
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.exceptions import RayTaskError
from ray.train import WorkerGroupError
from torch.distributed import DistNetworkError

from pipeline.training.known_peers import Connection, End, Held, Stranger, held_here, owner, refuse_strangers
from pipeline.training.preemption import PreemptibleTorchConfig

ADDRESS = "127.0.0.1"


def between(one: int, other: int) -> Connection:
    """As rank ``one`` holds it. Of two the higher connects, from a port of its own, to where the lower listens."""
    low, high = sorted((one, other))
    listener, client = (ADDRESS, 4000 + low), (ADDRESS, 5000 + 100 * high + low)
    return (listener, client) if one == low else (client, listener)


def group(size: int) -> list[Held]:
    """What the ranks of a sound group hold: each also what is Ray's."""
    rays = ((ADDRESS, 9000), (ADDRESS, 9001))
    return [
        Held(
            frozenset({(ADDRESS, 4000 + rank)}),
            frozenset({rays, *(between(rank, other) for other in range(size) if other != rank)}),
        )
        for rank in range(size)
    ]


def with_one(held: Held, connection: Connection) -> Held:
    return Held(held.listeners, held.connections | {connection})


def without(held: Held, connection: Connection) -> Held:
    return Held(held.listeners, held.connections - {connection})


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ranks_know_each_other(size: int) -> None:
    refuse_strangers(group(size))


@settings(max_examples=40)
@given(st.integers(2, 5), st.data())
def test_an_end_that_no_other_rank_holds_is_refused(size: int, data: st.DataObject) -> None:
    ranks = group(size)
    rank = data.draw(st.integers(0, size - 1))
    foreign = (ADDRESS, data.draw(st.integers(1024, 3999)))
    accepted = data.draw(st.booleans())
    listener = (
        ADDRESS,
        4000 + (rank if accepted else data.draw(st.sampled_from([r for r in range(size) if r != rank]))),
    )
    stranger = (listener, foreign) if accepted else (foreign, listener)
    # In the place of a rank, or beside all of them; whether or not the rank whose place it is was connected as well.
    lost = data.draw(st.sampled_from([None, *(pair for pair in combinations(range(size), 2) if rank in pair)]))
    if lost is not None:
        ranks[rank] = without(ranks[rank], between(rank, sum(lost) - rank))
    ranks[rank] = with_one(ranks[rank], stranger)
    with pytest.raises(Stranger, match=r"^port 400\d: .* connected .* is no worker; nothing was sent"):
        refuse_strangers(ranks)


def test_its_own_word_alone_makes_no_rank_known() -> None:
    """A connection whose two ends one process holds is no other rank's."""
    both = with_one(with_one(group(2)[0], ((ADDRESS, 4000), (ADDRESS, 7))), ((ADDRESS, 7), (ADDRESS, 4000)))
    with pytest.raises(Stranger):
        refuse_strangers([both, group(2)[1]])


@pytest.mark.parametrize("pair", combinations(range(3), 2))
def test_two_ranks_that_are_not_connected_are_refused(pair: tuple[int, int]) -> None:
    """As where gloo connects only once something is sent (TORCH_GLOO_LAZY_INIT), when nobody looks any more."""
    ranks = group(3)
    for one, other in (pair, pair[::-1]):
        ranks[one] = without(ranks[one], between(one, other))
    with pytest.raises(Stranger, match="without a connection that both know"):
        refuse_strangers(ranks)


def spelled(end: End, mapped: bool = False) -> str:
    """As the kernel prints it: words in the machine's order."""
    address = ipaddress.ip_address(f"::ffff:{end[0]}" if mapped else end[0])
    words = [address.packed[at : at + 4] for at in range(0, len(address.packed), 4)]
    ordered = (word[::-1] if sys.byteorder == "little" else word for word in words)
    return f"{b''.join(ordered).hex().upper()}:{end[1]:04X}"


def row(here: End, there: End, uid: int, inode: int = 7, mapped: bool = False) -> str:
    ends = f"{spelled(here, mapped)} {spelled(there, mapped)}"
    return f"  12: {ends} 01 00000000:00000000 00:00000000 00000000 {uid:5d}        0 {inode} 1 00000000 20 4 30 10 -1"


HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
PORTS = st.integers(0, 65535)
IPV4 = st.tuples(st.ip_addresses(v=4).map(str), PORTS)
IPV6 = st.tuples(st.ip_addresses(v=6).filter(lambda one: one.ipv4_mapped is None).map(str), PORTS)


def test_a_row_as_the_kernel_prints_it() -> None:
    line = (
        "   4: 0100007F:1F90 0100007F:D431 01 00000000:00000000 02:000A 00000000  1000        0 4411 2 0 20 4 30 10 -1"
    )
    assert sys.byteorder != "little" or owner(((ADDRESS, 8080), (ADDRESS, 54321)), [HEADING, line]) == 1000


@settings(max_examples=40)
@given(st.one_of(st.tuples(IPV4, IPV4), st.tuples(IPV6, IPV6)), st.integers(0, 2**32 - 2), st.booleans(), st.data())
def test_the_owner_of_an_end_is_found(ends: Connection, uid: int, mapped: bool, data: st.DataObject) -> None:
    here, there = ends
    mapped = mapped and "." in here[0]
    others = st.lists(st.tuples(IPV4, IPV4).filter(lambda other: other != ends).map(lambda other: row(*other, uid=1)))
    table = [HEADING, *data.draw(others), row(here, there, uid, mapped=mapped), *data.draw(others)]
    assert owner(ends, table) == uid
    closed = [HEADING, row(here, there, uid, inode=0, mapped=mapped)]
    assert owner(ends, closed) is None
    assert owner(ends, [HEADING]) is None


@pytest.mark.parametrize(("family", "address"), [("tcp", ADDRESS), ("tcp6", "::1"), ("mapped", ADDRESS)])
def test_a_real_connection_has_an_owner(family: str, address: str) -> None:
    kind = socket.AF_INET if family == "tcp" else socket.AF_INET6
    with socket.create_server(
        ("::" if family == "mapped" else address, 0), family=kind, dualstack_ipv6=family == "mapped"
    ) as server:
        port = server.getsockname()[1]
        with socket.create_connection((address, port)) as client, server.accept()[0]:
            here, there = (address, client.getsockname()[1]), (address, port)
            lines = [
                line for name in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{name}").read_text().splitlines()
            ]
            assert owner((here, there), lines) == owner((there, here), lines) == os.geteuid()
            held = held_here()
            assert {(here, there), (there, here)} <= held.connections


class Workers:
    """One worker that does nothing, as Ray Train's group of them."""

    gone = False

    def execute(self, *call: Any) -> list[None]:
        return [None]

    def execute_single(self, *call: Any) -> None:
        return None

    def shutdown(self) -> None:
        self.gone = True


@pytest.mark.parametrize(
    "cause",
    [Stranger("port 7: somebody"), DistNetworkError("port 7: somebody hung up")],
    ids=lambda one: type(one).__name__,
)
def test_a_group_of_ray_s_that_does_not_form_is_the_workers_failure(
    cause: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray Train counts it, and starts others; it leaves no worker in their room."""
    backend, workers = PreemptibleTorchConfig().backend_cls, Workers()

    def on_start(self: object, *arguments: object) -> None:
        raise RayTaskError("rank 0", "a traceback", cause).as_instanceof_cause()

    monkeypatch.setattr(backend.__mro__[1], "on_start", on_start)
    with pytest.raises(WorkerGroupError, match="port 7: somebody") as caught:
        backend().on_start(workers, None)
    assert workers.gone
    (failure,) = pickle.loads(pickle.dumps(caught.value)).worker_failures.values()  # noqa: S301
    assert type(failure) is type(cause)
