"""Tell a person how restoring goes: a bar on a terminal, a line per file otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.restoring.restore_files import Outcome
from pipeline.restoring.restorer import Restorer


def report(
    outcomes: Iterable[Outcome], total: int, console: Console | None = None, restorer: Restorer | None = None
) -> int:
    """Show each outcome as it comes, then the counts; returns how many files were not restored.

    restorer: who restores them; its tiles get a bar of their own while one large image is at work.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    failed = done = there = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("restoring", total=total)
        tiles = progress.add_task("tiles of this image", visible=False)
        if restorer is not None:
            restorer.progress = lambda tile, among: progress.update(
                tiles, completed=tile, total=among, visible=True, refresh=True
            )
        for outcome in outcomes:
            done += 1
            job = outcome.job
            if outcome.problem:
                failed += 1
                console.print(f"skipped {job.source}: {outcome.problem}", markup=False)
            elif outcome.was_there:
                there += 1
                console.print(f"{job.target} exists; give --overwrite to replace it", markup=False)
            elif not console.is_terminal:
                console.print(f"[{done}/{total}] {job.source} -> {job.target}", markup=False)
            for note in outcome.notes:
                console.print(f"  {job.source}: {note}", markup=False)
            progress.update(bar, advance=1)
            progress.reset(tiles, visible=False)
    already = f", {there} were there already" if there else ""
    console.print(f"{done - failed - there} restored{already}, {failed} skipped")
    return failed
