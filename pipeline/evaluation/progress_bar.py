"""How an evaluation goes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.wording import LINE_EVERY_S, counted


@contextmanager
def show(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes the number of images done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    printed_at = -LINE_EVERY_S
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=total)

        def update(done: int) -> None:
            nonlocal printed_at
            progress.update(bar, completed=done)
            if not console.is_terminal and (done == total or time.monotonic() - printed_at >= LINE_EVERY_S):
                printed_at = time.monotonic()
                console.print(f"{title}: {done}/{counted(total, 'image')}", highlight=False, markup=False)

        yield update
