"""Tell a person how restoring goes: a bar on a terminal, a line per file otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.restoring.files import Job
from pipeline.restoring.restore_files import Outcome
from pipeline.restoring.restorer import Restorer
from pipeline.wording import LINE_EVERY_S, counted, duration, escaped
from semanir.parallel import threads_for

# Between two lines of one picture, where a tenth of it takes longer.
LONGEST_SILENCE_S = 30.0


class TileLines:
    """Where there is no terminal: a line now and then while a picture of many tiles is at work.

    first: how many tiles are computed at once, which end together; before, there is nothing to guess the time from.
    """

    def __init__(self, console: Console, clock: Callable[[], float], first: int) -> None:
        self._console, self._clock, self._first = console, clock, first
        self.begin()

    def begin(self) -> None:
        """The next picture is at work."""
        self._began, self._told_at, self._told_done = self._clock(), 0.0, 0

    def tell(self, source: Path, done: int, among: int) -> None:
        now = self._clock()
        each = (now - self._began) / done
        if not self._told_done:
            if done >= self._first and each * among >= LINE_EVERY_S:
                self._say(f"{source}: {counted(among, 'tile')}, about {duration(each * among)}", now, done)
            return
        silence = now - self._told_at
        tenth = 10 * (done - self._told_done) >= among and silence >= LINE_EVERY_S
        if done < among and (tenth or silence >= LONGEST_SILENCE_S):
            left = duration(each * (among - done))
            self._say(f"{source}: {done} of {counted(among, 'tile')}, {left} left", now, done)

    def _say(self, line: str, now: float, done: int) -> None:
        self._told_at, self._told_done = now, done
        self._console.print(escaped(line), markup=False)


def report(
    outcomes: Iterable[Outcome],
    jobs: Sequence[Job],
    console: Console | None = None,
    restorer: Restorer | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Show each outcome as it comes, in the order of the jobs, then the counts; returns how many were not restored.

    restorer: who restores them; the tiles of one large image at work get a bar of their own, or lines.
    """
    console, total = console or Console(soft_wrap=True, highlight=False), len(jobs)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    failed = done = there = 0

    def say(line: str) -> None:
        console.print(escaped(line), markup=False)

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("restoring", total=total)
        tiles = progress.add_task("tiles of this image", visible=False)
        if restorer is not None:
            lines = TileLines(console, clock, threads_for(next(restorer.model.parameters()).device, 1 << 20))

            at_work = Path()

            def begin(source: Path) -> None:
                nonlocal at_work
                at_work = source
                lines.begin()
                progress.reset(tiles, visible=False)

            def show(tile: int, among: int) -> None:
                if console.is_terminal:
                    progress.update(tiles, completed=tile, total=among, visible=True, refresh=True)
                else:
                    lines.tell(at_work, tile, among)

            restorer.begins, restorer.progress = begin, show
        for outcome in outcomes:
            done += 1
            job = outcome.job
            if outcome.problem:
                failed += 1
                say(f"skipped {job.source}: {outcome.problem}")
            elif outcome.was_there:
                there += 1
                say(f"{job.target} exists; give --overwrite to replace it")
            elif not console.is_terminal:
                say(f"[{done}/{total}] {job.source} -> {job.target}")
            for note in outcome.notes:
                say(f"  {job.source}: {note}")
            progress.update(bar, advance=1)
    already = f", {there} were there already" if there else ""
    console.print(f"{done - failed - there} restored{already}, {failed} skipped")
    return failed
