"""How many runs fit side by side: a ledger of the cluster's CPUs and GPUs, reserved whole or not at all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.config import TrainingSettings
from pipeline.errors import UserError


def each_worker(settings: TrainingSettings) -> dict[str, float]:
    """What one of a run's workers takes while it trains."""
    return {"CPU": settings.cpus_per_worker, "GPU": 1 if settings.on_gpu else 0}


@dataclass(eq=False)
class Share:
    """What a run holds: room for ``workers``, one of ``worlds``, each taking ``each``."""

    each: Mapping[str, float]
    worlds: Sequence[int]
    told: Callable[[int], None]
    workers: int = 0


class Room:
    """Reservations out of ``total``; a run waits until all it needs is free, so two half-started runs never block.

    First come, first served. A run that may have several numbers of workers gets the largest that is free, and waits
    only for its smallest. It is given more when others end or nodes come, but only while nobody waits, and never has to
    give back before its end: so no two runs grow in turns, and each that waits gets its turn when those before it end.
    """

    def __init__(self, total: Mapping[str, float]) -> None:
        self._total, self._free = dict(total), dict(total)
        self._changed = threading.Condition()
        self._queue: deque[Share] = deque()
        self._shares: list[Share] = []

    def check(self, each: Mapping[str, float], workers: int, name: str) -> None:
        """Raise UserError when ``workers``, each taking ``each``, would never fit."""
        for kind, amount in each.items():
            if workers * amount > self._total.get(kind, 0):
                raise UserError(
                    f"{name}: training asks for {workers * amount:g} {kind}s at once, the cluster has "
                    f"{self._total.get(kind, 0):g}: lower training.num_workers or cpus_per_worker, or add nodes"
                )

    def resize(self, total: Mapping[str, float]) -> None:
        """The cluster has ``total`` now. Runs keep what they hold, be it more than is left of the cluster."""
        with self._changed:
            if total == self._total:
                return
            for kind in {*total, *self._total}:
                self._free[kind] = self._free.get(kind, 0) + total.get(kind, 0) - self._total.get(kind, 0)
            self._total = dict(total)
            self._hand_out()

    @contextmanager
    def reserve(
        self, each: Mapping[str, float], worlds: Sequence[int], told: Callable[[int], None] = lambda workers: None
    ) -> Iterator[Share]:
        """Hold room for one of ``worlds`` (ascending) workers inside the block; ``told`` hears each time how many."""
        share = Share(each, worlds, told)
        with self._changed:
            self._queue.append(share)
            self._changed.wait_for(lambda: self._queue[0] is share and self._fitting(share))
            self._queue.popleft()
            self._shares.append(share)
            self._give(share)
            self._hand_out()  # the next one may fit as well
        try:
            yield share
        finally:
            with self._changed:
                self._shares.remove(share)
                self._take(share, -share.workers)
                self._hand_out()

    def _hand_out(self) -> None:
        """What is free: to those who wait, else to those who could use more."""
        self._changed.notify_all()
        if not self._queue:
            for share in self._shares:
                self._give(share)

    def _fitting(self, share: Share) -> int:
        """The most of its worlds that ``share`` could have, 0 if none."""
        return max(
            (
                world
                for world in share.worlds
                if all(self._free.get(kind, 0) >= (world - share.workers) * n for kind, n in share.each.items() if n)
            ),
            default=0,
        )

    def _give(self, share: Share) -> None:
        workers = self._fitting(share)
        if workers > share.workers:
            self._take(share, workers - share.workers)
            share.told(workers)

    def _take(self, share: Share, workers: int) -> None:
        share.workers += workers
        for kind, amount in share.each.items():
            self._free[kind] = self._free.get(kind, 0) - workers * amount
