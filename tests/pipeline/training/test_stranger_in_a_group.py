"""Another user who takes a rank's place in a group that forms: it is seen before anything is sent, and refused."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipeline.training.test_loop import config


def written_in(file: Path) -> Iterator[tuple[str, bytes]]:
    """What ranks that meet in a file told each other there: length and text of each key and of its value."""
    left = file.read_bytes()
    while left:
        pair = []
        for _ in range(2):
            (length,) = struct.unpack_from("=I", left)
            pair.append(left[4 : 4 + length])
            left = left[4 + length :]
        yield pair[0].decode(), pair[1]


def groups_in(file: Path) -> dict[str, set[str]]:
    """Of each gloo group, by its name, who told which connections he holds. gloo itself writes under 0/<rank>."""
    keys = [key for key, _ in written_in(file)]
    groups = {key.removesuffix("0/0") for key in keys if key.endswith("/0/0")}
    return {group: {key.removeprefix(group) for key in keys if key.startswith(f"{group}held/")} for group in groups}


@pytest.mark.parametrize("looks", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_group_of_a_training_is_looked_at(looks: bool, shards: Path, run_group: Any, tmp_path: Path) -> None:
    """DeepSpeed's too: the first, which torch makes, what DeepSpeed clones of it, and those of ours."""
    run_group(
        tmp_path,
        "loop",
        2,
        config=config(shards, "training.steps=2").model_dump_json(),
        know_peers=looks,
        keep_meeting=True,
    )
    groups = groups_in(tmp_path / "met")
    assert len(groups) >= 6
    assert all(told == ({"held/0", "held/1"} if looks else set()) for told in groups.values())


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
        assert heard(first := wait_for_either(strangers), first.stdout).split()[-1] == "True", first.stderr.read()


# Two workers of a real cluster. A stranger is in the first group that they make, in each attempt where no failure is
# allowed; where one is, the attempt after it trains.
UNDER_RAY = """
import os, shutil, subprocess, sys, threading, time
from pathlib import Path
from tempfile import gettempdir

import ray
import torch.distributed as dist

from pipeline.cluster import Board
from pipeline.config import RunConfig
from pipeline.training.known_peers import held_here
from pipeline.training.loop import train
from pipeline.training.ray_train import on_workers

config, folder, stranger, uid = RunConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
sits, refused = folder / "sits", folder / "refused"


def let_in(before):
    while not (new := held_here().listeners - before):
        time.sleep(0.001)
    ((_, port),) = new
    process = subprocess.Popen([sys.executable, "-c", stranger, str(port), uid], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    sits.touch()


def loop(config, context):
    again = refused.exists()
    dist.barrier()
    if not again:
        if context.rank == 0:
            refused.touch()
            threading.Thread(target=let_in, args=(held_here().listeners,), daemon=True).start()
        while context.rank == 1 and not sits.exists():
            time.sleep(0.01)
        dist.new_group(backend="gloo")
        return "nobody was refused"
    summary = train(config, context)
    if context.rank == 0:
        (meeting,) = Path(gettempdir()).glob("semanir-*/meeting-*/*")
        shutil.copy(meeting, folder / "met")
    return f"trained {summary.steps} steps"


ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
for failures in (0, 1):
    for left in (sits, refused):
        left.unlink(missing_ok=True)
    allowed = config.training.model_copy(update={"max_failures": failures})
    try:
        said = on_workers(config.model_copy(update={"training": allowed}), f"run-{failures}", Board(), loop)
    except ray.train.TrainingFailedError as error:
        said = str(error)
    print("outcome", " ".join(said.split()), flush=True)
"""


@pytest.mark.slow
def test_a_refused_group_is_one_failure_of_a_real_run(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    overrides = ("training.steps=2", "training.num_workers=2", f"storage={tmp_path / 'runs'}")
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # Ray's sockets allow of no long names
        settings = config(shards, *overrides).model_dump_json()
        run = subprocess.run(
            [sys.executable, "-c", UNDER_RAY, settings, tmp_path, STRANGER, str(UID)],
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "RAY_TMPDIR": short, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    said = [line for line in run.stdout.splitlines() if line.startswith("outcome")]
    assert len(said) == 2, run.stdout + run.stderr
    assert re.search(rf"Stranger: port \d+: user {UID} connected while .* and is no worker; nothing was sent", said[0])
    assert said[1] == "outcome trained 2 steps"
    groups = groups_in(tmp_path / "met")
    assert len(groups) >= 6
    assert all(told == {"held/0", "held/1"} for told in groups.values())
