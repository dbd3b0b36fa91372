"""Damaged copies of each library's own data set, read by one consumer: what it does, in a word of ``Outcome``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from pipeline.benchmarks.peers.consumers import Run
from pipeline.benchmarks.peers.contest import Contest, Contestant
from pipeline.benchmarks.peers.damage import cut_between, cut_inside, flip_byte, shard_of
from pipeline.benchmarks.peers.outcome import Outcome, Reading, judge
from pipeline.benchmarks.peers.restarts import failure
from pipeline.benchmarks.rows import Row

Alter = Callable[[bytes, bytes], bytes]
DAMAGES: dict[str, Alter] = {
    "shard cut between samples": lambda content, picture: cut_between(content),
    "shard cut inside a sample": lambda content, picture: cut_inside(content),
    "one byte of a picture flipped": flip_byte,
}
# Unlike PNG, JPEG carries no checksum: whoever relies on the decoder alone trains on other pixels. Late in the file, as
# the middle of a small one still belongs to the tables, of which every decoder takes notice.
JPEG_DAMAGES: dict[str, Alter] = {"one byte of a JPEG flipped": partial(flip_byte, at=0.9)}
DOUBLED_KEY = "two samples of one key"


def measure_damages(
    contest: Contest, contestant: Contestant, dataset: str, kinds: Mapping[str, Alter], say: Callable[[str], None]
) -> Iterator[Row]:
    """A row per kind of damage to a data set that the contestant has written."""
    picture = sorted(contest.pictures.iterdir())[len(contest.truth) // 2]
    for number, (kind, alter) in enumerate(kinds.items()):
        say(f"{contestant.name}: {kind}")
        damaged = f"{dataset}-{contestant.program.variant}-damaged-{number}"
        shard = _copy(contest, dataset, damaged, picture.read_bytes(), alter)
        run = contest.epoch(contestant, damaged, damaged, world=1, workers=1)
        outcome = judge(_reading(contest, damaged, run), contest.truth, {shard.name, shard.stem, picture.stem})
        yield {
            "library": contestant.name, "damage": kind, "outcome": outcome.value, "silent_s": _silence(run),
            "delivered": len(run.digests()), "failure": failure(run),
        }  # fmt: skip


def measure_doubled_key(
    contest: Contest, contestant: Contestant, dataset: str, say: Callable[[str], None]
) -> Iterator[Row]:
    """One row: what comes of a key that two samples have."""
    say(f"{contestant.name}: {DOUBLED_KEY}")
    outcome, said = _double_key(contest, contestant, dataset)
    yield {"library": contestant.name, "damage": DOUBLED_KEY, "outcome": outcome.value, "failure": said}


def _copy(contest: Contest, dataset: str, damaged: str, picture: bytes, alter: Alter) -> Path:
    """Copy a data set in the store and alter the shard that holds the picture; returns that shard."""
    folder = contest.store.folder / damaged
    shutil.copytree(contest.store.folder / dataset, folder)
    shard = shard_of(folder, picture)
    shard.write_bytes(alter(shard.read_bytes(), picture))
    return shard


def _double_key(contest: Contest, contestant: Contestant, dataset: str) -> tuple[Outcome, str | None]:
    """Two pictures of one key handed to the writer, and what it wrote read, if it did."""
    if contestant.keeps:
        return Outcome.NO_KEYS, None  # MDS and LitData number their samples
    refusal = contest.write(contestant, dataset, "doubled")
    if refusal:
        return Outcome.REFUSED, refusal.strip().splitlines()[-1][:300]
    run = contest.epoch(contestant, dataset, dataset, world=1, workers=1)
    first = min(contest.truth)
    return judge(_reading(contest, dataset, run), contest.truth, {"shard-000000", first}), failure(run)


def _silence(run: Run) -> float | None:
    """Seconds between the last that came, or the end of imports, and the error; None without one."""
    times = [event["time"] for event in run.events[0]]
    return times[-1] - times[-2] if run.error and len(times) > 1 else None


def _reading(contest: Contest, label: str, run: Run) -> Reading:
    log = (contest.folder / "runs" / label / "log-0.txt").read_text(encoding="utf-8", errors="replace")
    return Reading(run.digests(), run.error, run.timed_out, run.statuses[0], log)
