"""What ``jobs/benchmark.py peers`` does: install, write, run epochs, kill, resume, damage, and lay the tables out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.benchmarks.peers.consumers import Program, consumer_environment
from pipeline.benchmarks.peers.contest import SHARDS, Contest, Contestant
from pipeline.benchmarks.peers.damages import DAMAGES, JPEG_DAMAGES, measure_damages, measure_doubled_key
from pipeline.benchmarks.peers.environments import (
    LITDATA,
    MOSAIC,
    PEERS,
    WEBDATASET,
    default_folder,
    make_environment,
    peer_version,
)
from pipeline.benchmarks.peers.leftovers import cleared_after
from pipeline.benchmarks.peers.outcome import Outcome
from pipeline.benchmarks.peers.pictures import make_pictures
from pipeline.benchmarks.peers.restarts import Unusable, measure_restarts
from pipeline.benchmarks.peers.store import CountingStore
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.errors import UserError
from semanir import __version__

OURS = "ours"
JPEG_SAMPLES, JPEG_QUALITY = 5 * SHARDS, 90
PACKAGES = ("torch", "webdataset", "pillow")
RESTARTS = {
    "library": "library", "on": "consumers", "lost": "lost", "doubled": "doubled", "moved": "moved", "seconds": "s",
    "seconds_with_imports": "s with imports", "mib_first": "MiB to first batch", "mib": "MiB to the end",
    "samples_per_second": "samples/s", "failure": "failure",
}  # fmt: skip
DAMAGE = {
    "library": "library",
    "damage": "damage",
    "outcome": "outcome",
    "delivered": "delivered",
    "silent_s": "after s",
}
SOUND = {Outcome.NAMED, Outcome.REFUSED, Outcome.NO_KEYS, Outcome.UNHARMED}


def run_peers(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a library delivered other pixels or ours lost, doubled or moved a sample, or hid damage.

    Raises:
        UserError: too few samples, an environment that cannot be made, an output that cannot be written.
    """
    if options.samples < 5 * SHARDS:
        raise UserError(f"--samples must be at least {5 * SHARDS}, five to a shard; got {options.samples}")
    file = RowFile("peers", options.output, machine("cpu", PACKAGES))
    started = time.monotonic()
    folder = Path(options.environments).expanduser() if options.environments else default_folder()
    pythons, installing = {OURS: sys.executable}, 0.0
    for peer in PEERS:
        if options.only is None or peer.name in options.only:
            pythons[peer.name], seconds = make_environment(peer, folder, say)
            installing += seconds
            file.add(
                kind="peer", library=peer.name, version=peer_version(peer), license=peer.license,
                released=peer.released, where=peer.where, install_seconds=seconds,
            )  # fmt: skip
    installed = time.monotonic()
    with TemporaryDirectory(prefix="benchmark-peers-") as scratch:
        rows, problems = _measure(options, Path(scratch), pythons, file)
    restarts = [{**row, "on": _on(row)} for row in rows if row["kind"] == "restart"]
    print(format_table(RESTARTS, restarts) + "\n\n" + format_table(DAMAGE, [r for r in rows if r["kind"] == "damage"]))
    took = time.monotonic() - installed
    file.add(kind="duration", seconds=took, install_seconds=installed - started)
    print(f"measured in {took:.0f} s, environments installed in {installing:.0f} s")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return int(bool(problems))


def contestants(pythons: dict[str, str]) -> list[Contestant]:
    """All whose Python is there, ours first; WebDataset as its users resume it, in two ways."""
    found = [Contestant(OURS, __version__, Program(pythons[OURS], "ours"))]
    if LITDATA.name in pythons:
        found.append(
            Contestant(LITDATA.name, peer_version(LITDATA), Program(pythons[LITDATA.name], "litdata_peer"), keeps=True)
        )
    if MOSAIC.name in pythons:
        for variant in ("", "hashed"):
            name = f"{MOSAIC.name}, {variant}" if variant else MOSAIC.name
            program = Program(pythons[MOSAIC.name], "mosaic_peer", variant)
            found.append(Contestant(name, peer_version(MOSAIC), program, keeps=True))
    if WEBDATASET.name in pythons:
        for variant in ("replayed", "resampled"):
            program = Program(pythons[WEBDATASET.name], "webdataset_peer", variant)
            found.append(Contestant(f"{WEBDATASET.name}, {variant}", peer_version(WEBDATASET), program))
    return found


def _measure(
    options: argparse.Namespace, folder: Path, pythons: dict[str, str], file: RowFile
) -> tuple[list[Row], list[str]]:
    """All rows, and what went wrong."""
    say(f"making {options.samples} pictures")
    truth = make_pictures(folder / "pictures", options.samples, options.side)
    jpeg_truth = make_pictures(folder / "jpeg", JPEG_SAMPLES, options.side, JPEG_QUALITY)
    for name in ("store", "home"):
        (folder / name).mkdir()
    rows: list[Row] = []
    problems: list[str] = []
    with cleared_after(), CountingStore(folder / "store") as store:
        environment = consumer_environment(store.endpoint, folder / "home")
        contest = Contest(folder, folder / "pictures", truth, store, environment, options.silence)
        of_jpeg = replace(contest, pictures=folder / "jpeg", truth=jpeg_truth)
        for contestant in contestants(pythons):
            try:
                for row in _one(contest, of_jpeg, contestant):
                    rows.append(file.add(version=contestant.version, samples=options.samples, **row))
            except Unusable as error:
                problems.append(str(error))
    return rows, [*problems, *broken_promises(rows)]


def _one(contest: Contest, of_jpeg: Contest, contestant: Contestant) -> Iterator[Row]:
    """A contestant's rows: restarts where it differs in how it resumes, damage where it differs in how it reads."""
    variant = contestant.program.variant
    dataset = f"{contestant.program.module}-{variant}"
    _write(contest, contestant, dataset)
    if variant != "hashed":
        for row in measure_restarts(contest, contestant, dataset, say):
            yield {"kind": "restart", **row}
    if variant != "resampled":
        _write(of_jpeg, contestant, f"{dataset}-jpeg")
        for row in chain(
            measure_damages(contest, contestant, dataset, DAMAGES, say),
            measure_damages(of_jpeg, contestant, f"{dataset}-jpeg", JPEG_DAMAGES, say),
            measure_doubled_key(contest, contestant, f"{dataset}-doubled", say),
        ):
            yield {"kind": "damage", **row}


def _write(contest: Contest, contestant: Contestant, dataset: str) -> None:
    say(f"{contestant.name}: writes {dataset}")
    refusal = contest.write(contestant, dataset)
    if refusal:
        raise Unusable(f"{contestant.name} cannot write {dataset}: {refusal.strip().splitlines()[-1]}")


def broken_promises(rows: Sequence[Row]) -> list[str]:
    """What our own stream promises and did not hold, in words."""
    own = [row for row in rows if row["library"] == OURS]
    found = [
        f"our stream resumed on {row['world']}: {row['lost']} lost, {row['doubled']} doubled, {row['moved']} moved"
        for row in own
        if row["kind"] == "restart" and (row["lost"] or row["doubled"] or row["moved"] or row.get("failure"))
    ]
    sound = {outcome.value for outcome in SOUND}
    hidden = [row for row in own if row["kind"] == "damage" and row["outcome"] not in sound]
    return found + [f"our stream, {row['damage']}: {row['outcome']}" for row in hidden]


def _on(row: Row) -> str:
    if not row["resumed"]:
        return f"{row['world']}, whole epoch"
    return f"2 → {row['world']}" + (", shards kept" if row.get("kept_shards") else "")


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)
