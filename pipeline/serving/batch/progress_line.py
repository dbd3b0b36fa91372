"""How a restoring run goes: a line on a terminal, one now and then elsewhere, and a last table of failures."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.serving.batch.outcomes import ENDS, Outcome, Row
from pipeline.wording import LINE_EVERY_S, counted, duration, escaped

_OVER_S = 60.0  # the pace is that of the last minute


class Progress:
    """Counts outcomes and says how fast they come."""

    def __init__(self, total: int, console: Console) -> None:
        self.total, self._console = total, console
        self.counts: Counter[str] = Counter()
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._said = time.monotonic()

    def add(self, news: dict[str, int]) -> None:
        """Take in what a worker posted; what a dead worker did may be posted twice."""
        self.counts.update(news)

    def say(self) -> None:
        """Show the line when it is due."""
        now, done = time.monotonic(), self.counts.total()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _OVER_S:
            self._seen.popleft()
        if self._console.is_terminal:
            self._console.print(self.line(), end="\r", markup=False)
        elif now - self._said >= LINE_EVERY_S:
            self._said = now
            self._console.print(self.line(), markup=False)

    def line(self) -> str:
        """Done of all, by outcome, images per second and the time that is left at this pace."""
        (since, before), (now, done) = self._seen[0], self._seen[-1]
        pace = (done - before) / (now - since) if now > since else 0.0
        left = f"{duration(max(0, self.total - done) / pace)} left" if pace > 0 else "time left unknown"
        counts = ", ".join(f"{self.counts[outcome]} {outcome}" for outcome in ENDS)
        return f"{min(done, self.total)}/{counted(self.total, 'image')} ({counts}), {pace:.2f} images/s, {left}"


def report(rows: Iterable[Row], console: Console, names: int = 3) -> Counter[str]:
    """Print how many images had which outcome, and failures by kind with a few sources each; returns the counts."""
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for row in rows:
        if row.outcome == Outcome.BEGUN:
            continue
        outcomes[row.outcome] += 1
        if row.outcome == Outcome.FAILED:
            kinds[row.kind] += 1
            shown = examples.setdefault(row.kind, [])
            if len(shown) < names:
                shown.append(f"{row.source}: {row.why}")
    console.print(
        f"{outcomes[Outcome.RESTORED]} restored, {outcomes[Outcome.KEPT]} done before, "
        f"{outcomes[Outcome.FAILED]} failed",
        markup=False,
    )
    if kinds:
        table = Table("failure", "images", "for example", title="Not restored", title_justify="left")
        for kind, count in kinds.most_common():
            table.add_row(kind, str(count), escape("\n".join(map(escaped, examples[kind]))))
        console.print(table)
    return outcomes
