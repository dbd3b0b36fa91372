"""Start the consumers of one epoch, follow what they tell, kill them, or see that nothing comes any more."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.benchmarks.peers.compare import Steps, merge_ranks
from pipeline.benchmarks.peers.consumer import Job

ROOT = Path(__file__).resolve().parents[3]
POLL_S = 0.05
START_S = 600.0  # for Python and the imports, which a busy machine draws out
GOODBYE_S = 10.0  # for a process to end by itself and leave nothing behind, after its last word
Event = dict[str, Any]


@dataclass(frozen=True)
class Program:
    """A library's module, and the Python that has the library. variant: see ``Job``."""

    python: str
    module: str
    variant: str = ""

    def command(self, *arguments: str) -> list[str]:
        """The words of its command line."""
        return [self.python, "-m", f"pipeline.benchmarks.peers.{self.module}", *arguments]


@dataclass(frozen=True)
class Run:
    """What a world of consumers did: the events of each, when it was started, how they ended.

    killed: by us, on purpose. timed_out: by us, because nothing came.
    """

    events: Sequence[Sequence[Event]]
    started: float
    ended: float
    statuses: Sequence[int]
    killed: bool = False
    timed_out: bool = False

    def steps(self, up_to: int | None = None) -> Steps:
        """Keys of each global step, in order; at most those numbered ``up_to``."""
        return merge_ranks([[e["keys"] for e in self._batches(rank, up_to)] for rank in range(len(self.events))])

    def digests(self) -> list[tuple[str, str]]:
        """(key, digest) of every sample that came, consumer by consumer."""
        return [
            pair for rank in range(len(self.events)) for event in self._batches(rank, None)
            for pair in zip(event["keys"], event["digests"], strict=True)
        ]  # fmt: skip

    def _batches(self, rank: int, up_to: int | None) -> list[Event]:
        batches = [event for event in self.events[rank] if event["event"] == "batch"]
        return [event for event in batches if up_to is None or event["step"] <= up_to]

    def last(self, event: str) -> float | None:
        """When the last consumer told its first such event; None when one never did."""
        times = [next((e["time"] for e in events if e["event"] == event), None) for events in self.events]
        return None if None in times else max(times)  # type: ignore[type-var]

    @property
    def error(self) -> str | None:
        """The first exception of a consumer, as text."""
        found = [event for events in self.events for event in events if event["event"] == "error"]
        return min(found, key=lambda event: event["time"])["text"] if found else None


def write_dataset(
    program: Program, pictures: Path, folder: Path, per_shard: int, environment: Mapping[str, str]
) -> str:
    """Have a library write its data set; returns what it said when it refused, else an empty text."""
    done = subprocess.run(
        program.command("write", str(pictures), str(folder), str(per_shard), program.variant),
        cwd=folder.parent, env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return (done.stderr or f"status {done.returncode}") if done.returncode else ""


def run_world(
    program: Program, jobs: Sequence[Job], folder: Path, environment: Mapping[str, str], *,
    silence_s: float, kill_when: Callable[[Sequence[Sequence[Event]]], bool] = lambda events: False,
) -> Run:  # fmt: skip
    """Run one process per job, each in a process group of its own.

    kill_when: asked of the events so far; once it says so, all groups get SIGKILL. silence_s: with no event for so
    long, they get it too, and the run counts as timed out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started, processes = time.time(), []
    for job in jobs:
        path = folder / f"job-{job.rank}.json"
        path.write_text(json.dumps(asdict(job)))
        ranked = {"RANK": job.rank, "WORLD_SIZE": job.world, "LOCAL_RANK": job.rank, "LOCAL_WORLD_SIZE": job.world}
        with open(folder / f"log-{job.rank}.txt", "wb") as log:
            processes.append(
                subprocess.Popen(
                    program.command("read", str(path)),
                    env={**environment, **{name: str(value) for name, value in ranked.items()}},
                    cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )
            )  # fmt: skip
    killed = timed_out = False
    try:
        latest, known = time.time(), 0
        while any(process.poll() is None for process in processes):
            time.sleep(POLL_S)
            events = [read_events(Path(job.events)) for job in jobs]
            count = sum(len(own) for own in events)
            if count > known:
                latest, known = time.time(), count
            if kill_when(events):
                killed = True
                break
            if _over(events) and time.time() - latest > GOODBYE_S:
                break
            if time.time() - latest > (silence_s if known else START_S):
                timed_out = True
                break
    finally:
        for process in processes:
            kill_group(process)
    ended = time.time()
    events = [read_events(Path(job.events)) for job in jobs]
    said_end = [bool(own) and own[-1]["event"] == "end" for own in events]
    statuses = [0 if said else process.returncode for said, process in zip(said_end, processes, strict=True)]
    return Run(events, started, ended, statuses, killed, timed_out)


def _over(events: Sequence[Sequence[Event]]) -> bool:
    """Whether all came to their end, or one to an error: the others would wait for it until their library gives up."""
    last = [own[-1]["event"] if own else "" for own in events]
    return "error" in last or all(event == "end" for event in last)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a consumer with its loader processes, which may outlive it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_events(path: Path) -> list[Event]:
    """The whole lines of an event file; the last line of a killed process may be cut."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def consumer_environment(endpoint: str, home: Path) -> dict[str, str]:
    """The environment of a consumer: the store's address in each library's spelling, one thread, nothing of ours.

    home: where a library may leave what it keeps beside its cache.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RANK", "WORLD_SIZE"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "AWS_ENDPOINT_URL": endpoint,
        "S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "peers",
        "AWS_SECRET_ACCESS_KEY": "peers",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ALLOW_HTTP": "true",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "DO_NOT_TRACK": "1",
    }
