"""An epoch of two consumers, killed at 37 %, resumed on one, three and two: what is lost, what the restart costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.benchmarks.peers.compare import compare
from pipeline.benchmarks.peers.consumer import BEYOND
from pipeline.benchmarks.peers.consumers import Event, Run
from pipeline.benchmarks.peers.contest import Contest, Contestant
from pipeline.benchmarks.rows import Row

BEFORE = 2  # consumers
SHARE = 0.37
MIB = 2**20


class Unusable(Exception):
    """A library did not read a sound data set, or delivered what no picture is: nothing else of it would count."""


def measure_restarts(
    contest: Contest, contestant: Contestant, dataset: str, say: Callable[[str], None]
) -> Iterator[Row]:
    """A row for the whole epoch, then one per resumed world.

    Raises:
        Unusable: a delivered sample is not the picture of its key, or the whole epoch failed.
    """
    name, save_at = f"{contestant.name}: ", max(1, round(contest.steps * SHARE))
    label = f"{dataset}-{contestant.program.variant or 'plain'}"
    say(f"{name}an epoch on {BEFORE} consumers")
    whole = contest.epoch(contestant, dataset, f"{label}-whole", world=BEFORE)
    if not _usable(whole):  # some libraries trip over themselves on a busy machine
        say(f"{name}the epoch failed ({failure(whole)}); once more")
        whole = contest.epoch(contestant, dataset, f"{label}-whole-again", world=BEFORE)
    if not _usable(whole):
        raise Unusable(f"{name}the uninterrupted epoch failed: {failure(whole)}")
    check_pixels(contest, contestant, whole)
    say(f"{name}the same, killed at {save_at} of {contest.steps} steps")
    cut = contest.epoch(
        contestant, dataset, f"{label}-cut", world=BEFORE, save_at=save_at, kill_when=_beyond(save_at + BEYOND)
    )
    if not cut.killed:
        raise Unusable(f"{name}the epoch ended before it could be killed: {failure(cut)}")
    everything, before = list(contest.truth), cut.steps(save_at)
    alone = compare(everything, whole.steps(), whole.steps())
    yield {
        "library": contestant.name, "world": BEFORE, "resumed": False, "lost": alone.lost, "doubled": alone.doubled,
        "moved": 0, "samples_per_second": _rate(whole), **_cost(contest, whole),
    }  # fmt: skip
    for world in (BEFORE, 1, 3):  # the first finds the shards that were kept on disk
        kept = world == BEFORE and contestant.keeps
        say(f"{name}resumed on {world}{', with the shards that it keeps on disk' if kept else ''}")
        run = contest.epoch(
            contestant, dataset, f"{label}-on-{world}", world=world, resume=contest.saves(f"{label}-cut"),
            cache=f"{label}-cut", keep=kept,
        )  # fmt: skip
        check_pixels(contest, contestant, run)
        found = compare(everything, whole.steps(), [*before, *run.steps()])
        yield {
            "library": contestant.name, "world": world, "resumed": True, "kept_shards": kept, "lost": found.lost,
            "doubled": found.doubled, "moved": found.moved, "failure": failure(run), **_cost(contest, run),
        }  # fmt: skip


def _usable(run: Run) -> bool:
    return not run.error and not run.timed_out and bool(run.steps())


def _beyond(step: int) -> Callable[[Sequence[Sequence[Event]]], bool]:
    """Whether all consumers are as far as ``step``."""

    def reached(events: Sequence[Sequence[Event]]) -> bool:
        return all(own and own[-1]["event"] == "batch" and own[-1]["step"] >= step for own in events)

    return reached


def check_pixels(contest: Contest, contestant: Contestant, run: Run) -> None:
    """Raises Unusable for the first sample that is not the picture of its key."""
    for key, digest in run.digests():
        if contest.truth.get(key) != digest:
            raise Unusable(f"{contestant.name} delivers other pixels for {key!r}")


def failure(run: Run) -> str | None:
    """Why a run did not come to its end, in one line; None when it did."""
    if run.error:
        return run.error.strip().splitlines()[-1][:300]
    if run.timed_out:
        return "no sign of life"
    return None if all(status == 0 for status in run.statuses) else f"status {max(run.statuses, key=abs)}"


def _rate(run: Run) -> float | None:
    """Samples per second from the first step to the last, of all consumers; decoding alone."""
    times = sorted(event["time"] for events in run.events for event in events if event["event"] == "batch")
    count = sum(len(event["keys"]) for events in run.events for event in events if event["event"] == "batch")
    return count / (times[-1] - times[0]) if times and times[-1] > times[0] else None


def _cost(contest: Contest, run: Run) -> Row:
    """Seconds from the end of imports to the first batch of the last consumer; MiB read until then, and in all."""
    ready, first = run.last("ready"), run.last("batch")
    sizes = {"mib_first": first, "mib": run.ended}
    read = {
        name: sum(transfer.size for transfer in contest.store.between(run.started, end)) / MIB if end else None
        for name, end in sizes.items()
    }
    return {
        "seconds": first - ready if first and ready else None,
        "seconds_with_imports": first - run.started if first else None,
        **read,
    }
