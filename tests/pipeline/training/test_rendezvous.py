"""Workers of one machine meet where only their own user reaches; others at the address they are told, nowhere else."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from pipeline.training.rendezvous import is_shared, sight_of

MEETS = """
import os, sys, psutil, torch, torch.distributed as dist
from pipeline.training.rendezvous import meet_in

if sys.argv[1] == "told":
    meet_in(None)
    meet_in(None)
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
os.environ["MASTER_ADDR"] = sys.argv[2]
for _ in range(2):  # as a group that is formed anew after a fault
    from socket import create_server
    with create_server(("127.0.0.1", 0)) as probe:
        os.environ["MASTER_PORT"] = str(probe.getsockname()[1])
    dist.init_process_group("gloo", init_method="env://", rank=0, world_size=1)
    dist.all_reduce(torch.ones(1))
    print(*{c.laddr.ip for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN})
    dist.destroy_process_group()
"""


def interfaces(*words: str) -> list[set[str]]:
    done = subprocess.run([sys.executable, "-c", MEETS, *words], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines() if "[Gloo]" not in line]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", *(pytest.param(other, marks=pytest.mark.slow) for other in ("localhost", "127.0.0.2"))]
)
def test_it_listens_on_loopback_alone_where_that_was_told(address: str) -> None:
    first, second = interfaces("told", address)
    assert first == second
    assert first
    assert all(ipaddress.ip_address(one).is_loopback for one in first)


def test_only_ranks_of_one_machine_that_see_one_folder_meet_in_it(tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    here, another, nowhere = (sight_of(str(path)) for path in (tmp_path, tmp_path / "another", tmp_path / "none"))
    assert here is not None
    assert is_shared([here, sight_of(f"{tmp_path}/another/..")])
    assert not is_shared([here, another])
    assert not is_shared([here, nowhere])
    assert not is_shared([nowhere, nowhere])
    assert not is_shared(
        [here, ("another machine", here[1], here[2], here[3])]
    )  # such as one that has the folder over the network
    assert not is_shared([here, (here[0], here[1] + 1, here[2], here[3])])  # with a network of its own


@pytest.mark.slow
def test_torch_alone_listens_everywhere() -> None:
    """Once this fails, torch does it by itself, and that part of the module can go."""
    assert any(one & {"::", "0.0.0.0"} for one in interfaces("alone", "127.0.0.1"))


# One rank of a group: says where it meets and listens, and goes through a step whenever it is told to.
RANK = """
import json, os, sys, psutil, torch, torch.distributed as dist
from datetime import timedelta
from pipeline.training.rendezvous import meet_in, meeting_place

rank, port, place = int(sys.argv[1]), sys.argv[2], sys.argv[3]
os.environ.update(GLOO_SOCKET_IFNAME="lo", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
if place == "new":
    place = meeting_place()
    print(place, file=sys.stderr, flush=True)
meet_in(place if place != "none" else None)
dist.init_process_group("gloo", init_method="env://", rank=rank, world_size=2, timeout=timedelta(seconds=60))
listening = [c.laddr.port for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN]
print(json.dumps({"listening": listening, "sum": 0}), file=sys.stderr, flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        break
    group = dist.new_group([0, 1])  # as DeepSpeed makes its own, later: through the store again
    sum_ = torch.tensor(float(rank + 1))
    dist.all_reduce(sum_, group=group)
    print(json.dumps({"sum": sum_.item()}), file=sys.stderr, flush=True)
dist.destroy_process_group()
print(json.dumps({"ended": True}), file=sys.stderr, flush=True)
sys.stdin.read()
"""

# Another user of the machine: which of these ports are a store that is read and written, which of these paths open.
STRANGER = """
import json, os, signal, sys, encodings.idna, torch.distributed as dist
from datetime import timedelta

ports, paths = json.loads(sys.argv[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
opened, asking = [], {}
for port in ports:
    asking[port] = os.fork()  # torch waits for ever for an answer that does not come
    if not asking[port]:
        signal.alarm(5)
        try:
            store = dist.TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=2))
            store.set("stranger", "was here")
            os._exit(store.get("stranger") != b"was here")
        finally:
            os._exit(1)
stores = [port for port, child in asking.items() if os.waitpid(child, 0)[1] == 0]
for path in paths:
    for how in (os.listdir, lambda path: open(path, "rb").close(), lambda path: open(path, "ab").close()):
        try:
            how(path)
            opened.append(path)
        except OSError:
            pass
print(json.dumps([stores, opened]))
"""


@dataclass
class Rank:
    process: subprocess.Popen[str]

    def hear(self) -> dict[str, Any]:
        while line := self._said().readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        raise AssertionError("it ended")

    def path(self) -> str:
        while line := self._said().readline():
            if line.startswith("/"):
                return line.strip()
        raise AssertionError("it ended")

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def _said(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr


@contextmanager
def a_rank(number: int, port: int, place: str, folder: Path) -> Iterator[Rank]:
    process = subprocess.Popen(
        [sys.executable, "-c", RANK, str(number), str(port), place], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True, env=os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield Rank(process)
    finally:
        process.kill()
        process.communicate()


@dataclass
class Pair:
    """A group of two ranks, where they meet, and the ports on which they listen."""

    ranks: tuple[Rank, Rank]
    place: str
    listening: list[int]

    def step(self) -> list[float]:
        for rank in self.ranks:
            rank.tell("step")
        return [rank.hear()["sum"] for rank in self.ranks]


@contextmanager
def a_pair(port: int, folder: Path, place: str = "new") -> Iterator[Pair]:
    with ExitStack() as stack:
        first = stack.enter_context(a_rank(0, port, place, folder))
        place = first.path() if place == "new" else place
        second = stack.enter_context(a_rank(1, port, place, folder))
        said = [rank.hear() for rank in (first, second)]
        yield Pair((first, second), place, sorted({number for one in said for number in one["listening"]}))


def intrude(ports: list[int], paths: list[str]) -> list[list[Any]]:
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps([ports, paths])], capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    return list(json.loads(done.stdout))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where temporary files lie, which everybody may enter, as /tmp: pytest's own folders hide what is in them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o1777)
        yield Path(made)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.mark.slow
@as_root
def test_another_user_neither_reads_nor_writes_what_the_ranks_tell_each_other(folder: Path, free_port: int) -> None:
    with a_pair(free_port, folder) as pair:
        store = f"{pair.place}/{free_port}"
        assert os.path.isfile(store)
        assert pair.listening  # gloo's own
        assert free_port not in pair.listening
        assert intrude([free_port, *pair.listening], [store, pair.place, os.path.dirname(pair.place)]) == [[], []]
        assert pair.step() == [3.0, 3.0]


@as_root
@pytest.mark.slow
def test_a_store_at_a_port_answers_another_user(folder: Path, free_port: int) -> None:
    """Or the test above would prove nothing; once this fails, torch asks who comes, and the module can go."""
    with a_pair(free_port, folder, "none") as pair:
        assert free_port in pair.listening
        assert intrude(pair.listening, [str(folder)]) == [[free_port], [str(folder)]]


@pytest.mark.slow
def test_a_group_meets_anew_after_a_kill_and_leaves_nothing(folder: Path, free_port: int) -> None:
    with a_pair(free_port, folder) as killed:
        assert killed.step() == [3.0, 3.0]
        for rank in killed.ranks:
            rank.process.kill()
            rank.process.wait()
        assert os.listdir(killed.place) == [str(free_port)]  # with the addresses of the dead
        with a_pair(free_port, folder) as pair, a_pair(free_port, folder) as beside:  # a port alone would not do
            assert not os.path.exists(killed.place)
            assert len({killed.place, pair.place, beside.place}) == 3
            assert pair.step() == beside.step() == [3.0, 3.0]
            for rank in pair.ranks:
                rank.tell("end")
            assert all(rank.hear()["ended"] for rank in pair.ranks)
            assert beside.step() == [3.0, 3.0]
            for rank in pair.ranks:
                rank.process.communicate()
            assert not os.path.exists(pair.place)
