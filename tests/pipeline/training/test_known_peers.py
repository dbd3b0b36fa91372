"""Another user who takes a rank's place in a group that forms: it is seen before anything is sent, and refused."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.known_peers import Connection, End, Held, Stranger, held_here, owner, refuse_strangers

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


# A rank, told its number, where it meets and whether it looks whom it knows; by each line, to make a group and to send.
RANK = """
import os, sys, torch, torch.distributed as dist
from datetime import timedelta
from pipeline.training.known_peers import Stranger, know_peers
from pipeline.training.rendezvous import meet_in

rank, place, looks = sys.argv[1:]
meet_in(place)
if looks == "no":
    know_peers(False)
os.environ.update(GLOO_SOCKET_IFNAME="lo", MASTER_ADDR="127.0.0.1")
print("ready", file=sys.stderr, flush=True)
for port in sys.stdin:
    os.environ["MASTER_PORT"] = port.strip()
    try:
        dist.init_process_group("gloo", "env://", timedelta(seconds=60), rank=int(rank), world_size=2)
    except Stranger as error:
        print("refused", error, file=sys.stderr, flush=True)
        continue
    print("formed", file=sys.stderr, flush=True)
    weights = torch.full((64,), 1234.5)
    dist.all_reduce(weights)
    print("sent", weights[0].item(), file=sys.stderr, flush=True)
    dist.destroy_process_group()
"""

# It takes both places that a listener of two ranks may have, as gloo does: it connects and writes the place's number,
# eight bytes. Who is about to send something says so in 48 bytes (length, kind 2, slot …) and waits for the answer 3,
# which it gets. In the end it says how much it got, and whether the weights were in it.
STRANGER = """
import encodings.idna, os, select, socket, struct, sys, time  # the first: as another user it may read no file here

port, uid = map(int, sys.argv[1:])
if uid != os.geteuid():
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
places = {socket.create_connection(("127.0.0.1", port)): b"" for _ in range(2)}
for number, place in enumerate(places):
    place.sendall(struct.pack("=q", number))
print("sits", flush=True)
got, until = 0, time.monotonic() + 50
stolen = False
while places and not stolen and time.monotonic() < until:
    for place in select.select(list(places), [], [], 1)[0]:
        try:
            said = place.recv(1 << 16)
        except ConnectionError:
            said = b""
        got += len(said)
        stolen = stolen or struct.pack("=f", 1234.5) * 8 in places[place] + said
        places[place] += said
        while len(places[place]) >= 48 and not stolen:
            size, kind, slot, _, length, _ = struct.unpack("=6Q", places[place][:48])
            places[place] = places[place][48:]
            if kind == 2:
                place.sendall(struct.pack("=6Q", 48, 3, slot, 0, length, 0))
        if not said:
            del places[place]
print(got, stolen, flush=True)
"""
UID = 65534 if os.geteuid() == 0 else os.geteuid()  # only root may become another user; no rank it is in any case


def heard(process: subprocess.Popen[str], stream: Any, *words: str) -> str:
    while line := stream.readline():
        if not words or line.split()[0] in words:
            return str(line.strip())
    raise AssertionError(f"it ended with {process.wait()} before it said {words}")


def listens_at(process: subprocess.Popen[str]) -> int | None:
    found = psutil.Process(process.pid).net_connections("tcp")
    return next((one.laddr.port for one in found if one.status == psutil.CONN_LISTEN), None)


@contextmanager
def running(script: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], line: str) -> None:
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def wait_for_either(processes: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    while True:
        for one in processes:
            if one.poll() is not None:
                return one
        time.sleep(0.01)


@contextmanager
def a_taken_group(place: Path, looks: str) -> Iterator[tuple[list[subprocess.Popen[str]], list[subprocess.Popen[str]]]]:
    """Two ranks, and at the listener of each a stranger who was faster than the other rank."""
    with ExitStack() as stack:
        ranks = [stack.enter_context(running(RANK, number, place, looks)) for number in range(2)]
        for rank in ranks:
            heard(rank, rank.stderr, "ready")
        told(ranks[0], "1")
        while (port := listens_at(ranks[0])) is None:
            time.sleep(0.01)
        # Which of two ranks waits for the other is a matter of their ports; until both have a stranger none may go on.
        os.kill(ranks[0].pid, signal.SIGSTOP)
        strangers = [stack.enter_context(running(STRANGER, port, UID))]
        heard(strangers[0], strangers[0].stdout, "sits")
        told(ranks[1], "1")
        until = time.monotonic() + 1
        while (port := listens_at(ranks[1])) is None:
            time.sleep(0.01)
            if time.monotonic() > until:  # it waits for the file, which the first had locked just then
                os.kill(ranks[0].pid, signal.SIGCONT)
                time.sleep(0.01)
                os.kill(ranks[0].pid, signal.SIGSTOP)
                until += 1
        strangers.append(stack.enter_context(running(STRANGER, port, UID)))
        heard(strangers[1], strangers[1].stdout, "sits")
        os.kill(ranks[0].pid, signal.SIGCONT)
        yield ranks, strangers


def test_a_stranger_in_a_ranks_place_is_refused_and_gets_nothing(tmp_path: Path) -> None:
    with a_taken_group(tmp_path, "yes") as (ranks, strangers):
        refusals = [heard(rank, rank.stderr, "refused", "formed") for rank in ranks]
        assert refusals[0] == refusals[1]
        assert re.match(
            rf"refused port \d+: user {UID} connected while .* and is no worker; nothing was sent", refusals[0]
        )
        assert [heard(one, one.stdout) for one in strangers] == ["0 False", "0 False"]
        for rank in ranks:  # they may try again
            told(rank, "2")
        assert [heard(rank, rank.stderr, "refused", "sent") for rank in ranks] == ["sent 2469.0", "sent 2469.0"]


@pytest.mark.slow
def test_gloo_alone_sends_a_stranger_what_is_a_ranks(tmp_path: Path) -> None:
    """Or the test above would prove nothing; once this fails, gloo asks who comes, and the module can go."""
    with a_taken_group(tmp_path, "no") as (ranks, strangers):
        assert [heard(rank, rank.stderr, "refused", "formed") for rank in ranks] == ["formed", "formed"]
        assert wait_for_either(strangers).communicate()[0].split()[1] == "True"
