"""One owner at a time, on disk and on a real S3 server: of many that try one wins, and a dead one is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.storage import lease as lease_module
from pipeline.storage import open_storage
from pipeline.storage.lease import HeldElsewhere, sole_writer, take

HOLDER = """
import sys, time
from pipeline.storage import lease
lease.BEAT_S = 0.2
with lease.sole_writer(sys.argv[1], "the run"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 0.2)
    monkeypatch.setattr(lease_module, "TERM_S", 5.0)


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "run")
    request.getfixturevalue("seaweed")
    return f"s3://tests/lease-{os.getpid()}-{time.monotonic_ns()}"


@pytest.fixture
def holder(place: str) -> Any:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, place], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


numbers = lease_module._numbers


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process ran on another machine than all others."""
    real = lease_module._process
    monkeypatch.setattr(lease_module, "_process", lambda pid="self": "other/1/1/1" if pid == "self" else real(pid))


def test_a_second_writer_is_refused_in_one_line_that_names_the_first(place: str) -> None:
    with sole_writer(place, "the run"):
        with pytest.raises(UserError, match=rf"the run is being written by process {os.getpid()} on .* since 20") as no:
            take(open_storage(place), "the run")
        assert "\n" not in str(no.value)
    for _ in range(3):
        with sole_writer(place, "the run"):
            pass  # released: at once, and again
    assert len(list(open_storage(place).list("lease/"))) == 2


def test_a_listing_that_grew_old_wins_nothing(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a writer slept between its look at a free place and its own lease, while others came and went."""
    for _ in range(3):
        take(open_storage(place), "the run").release()
    holder = take(open_storage(place), "the run")
    slow, seen = open_storage(place), [iter([1])]
    monkeypatch.setattr(lease_module, "_numbers", lambda at: seen.pop() if at is slow and seen else numbers(at))
    with pytest.raises(HeldElsewhere):
        take(slow, "the run")
    assert not seen
    holder.check()
    holder.release()


def test_of_many_at_once_one_wins(place: str) -> None:
    for _ in range(3):
        start = threading.Barrier(8)

        def attempt(number: int, start: threading.Barrier = start) -> Any:
            start.wait()
            try:
                return take(open_storage(place), f"attempt {number}")
            except HeldElsewhere:
                return None

        with ThreadPoolExecutor(8) as pool:
            won = [lease for lease in pool.map(attempt, range(8)) if lease is not None]
        assert len(won) == 1
        won[0].release()


def test_a_killed_owner_of_this_machine_is_replaced_at_once(place: str, holder: Any) -> None:
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with sole_writer(place, "the run"):
        assert time.monotonic() - started < lease_module.TERM_S


def test_of_another_machine_a_living_owner_is_heard_and_a_silent_one_replaced(
    place: str, holder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch)
    with pytest.raises(HeldElsewhere, match=rf"process {holder.pid} on"):
        take(open_storage(place), "the run")
    holder.kill()
    holder.wait()
    take(open_storage(place), "the run").release()


def test_a_stopped_owner_that_wakes_up_knows_that_it_lost(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = take(open_storage(place), "the run")
    second = take(open_storage(place), "the run", force="its machine is gone")
    while first._thread.is_alive():  # it ends with the next sign of life that it cannot leave
        time.sleep(0.05)
    with pytest.raises(HeldElsewhere, match="its machine is gone"):
        first.check()
    first.release()
    second.check()
    with pytest.raises(HeldElsewhere):
        take(open_storage(place), "the run")
    second.release()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b'{"name": 1}',
        b'{"name": "a", "since": "b", "nonce": "c", "process": 1}',
        b"[" * 60_000,
        b"\xff",
    ],
)
def test_an_unreadable_lease_is_waited_out_and_replaced(
    place: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "TERM_S", 0.3)
    open_storage(place).write("lease/000003.json", content)
    with sole_writer(place, "the run"):
        assert max(entry.key for entry in open_storage(place).list("lease/")) == "lease/000004.json"
