"""Tell a person how the restoring of videos goes: frames done, frames a second, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.restoring.restore_files import Outcome
from pipeline.wording import LINE_EVERY_S, counted, duration, escaped


class VideoReport:
    """What is said while clips are restored: a bar on a terminal, a line now and then otherwise."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._clock = clock
        self._path: Path | None = None
        self._began = self._said = 0.0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        self._bars = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._bar = self._bars.add_task("frames", total=None, pace="", visible=False)

    def progress(self, path: Path, done: int, total: int, before: int) -> None:
        """See ``restore_videos.Progress``."""
        now = self._clock()
        if path != self._path:
            self._path, self._began, self._said = path, now, now
            if before:
                there = f"{path}: goes on behind {counted(before, 'frame')} that are done"
                self._console.print(escaped(there), markup=False)
        fresh = done - before - 1  # the clock began with the first frame's end
        rate = fresh / (now - self._began) if fresh > 0 and now > self._began else 0.0
        pace = f"{rate:.2f} frames/s, {duration((total - done) / rate)} left" if rate else ""
        self._bars.update(self._bar, description=path.name, completed=done, total=total, pace=pace, visible=True)
        if not self._console.is_terminal and now - self._said >= LINE_EVERY_S:
            self._said = now
            self._console.print(escaped(f"{path}: {done} of {counted(total, 'frame')}, {pace}"), markup=False)

    def show(self, outcomes: Iterable[Outcome]) -> int:
        """Show each outcome as it comes, then the counts; returns how many videos were not restored."""
        failed = there = done = 0
        with self._bars:
            for outcome in outcomes:
                job = outcome.job
                failed += bool(outcome.problem)
                there += outcome.was_there
                done += not outcome.problem and not outcome.was_there
                if outcome.problem:
                    self._console.print(escaped(f"skipped {job.source}: {outcome.problem}"), markup=False)
                elif outcome.was_there:
                    self._console.print(escaped(f"{job.target} exists; give --overwrite to replace it"), markup=False)
                else:
                    self._console.print(escaped(f"{job.source} -> {job.target}"), markup=False)
                for note in outcome.notes:
                    self._console.print(escaped(f"  {job.source}: {note}"), markup=False)
                self._bars.update(self._bar, visible=False)
        already = f", {there} were there already" if there else ""
        self._console.print(f"{counted(done, 'video')} restored{already}, {failed} skipped")
        return failed
