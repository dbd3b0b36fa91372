"""How many runs fit side by side: a ledger of the cluster's CPUs and GPUs, reserved whole or not at all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pipeline.config import TrainingSettings
from pipeline.errors import UserError


def needs(settings: TrainingSettings) -> dict[str, float]:
    """What a run's workers take while they train."""
    return {
        "CPU": settings.num_workers * settings.cpus_per_worker,
        "GPU": settings.num_workers if settings.use_gpu else 0,
    }


class Room:
    """Reservations out of ``total``; a run waits until all it needs is free, so two half-started runs never block."""

    def __init__(self, total: Mapping[str, float]) -> None:
        self._total, self._free = dict(total), dict(total)
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def check(self, need: Mapping[str, float], name: str) -> None:
        """Raise UserError when ``need`` would never fit."""
        for kind, amount in need.items():
            if amount > self._total.get(kind, 0):
                raise UserError(
                    f"{name}: training asks for {amount:g} {kind}s at once, the cluster has "
                    f"{self._total.get(kind, 0):g}: lower training.num_workers or cpus_per_worker, or add nodes"
                )

    @contextmanager
    def reserve(self, need: Mapping[str, float]) -> Iterator[None]:
        """Hold ``need`` inside the block; first come, first served, so that a large run is never overtaken forever."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(
                lambda: self._queue[0] is ticket and all(self._free.get(kind, 0) >= n for kind, n in need.items())
            )
            self._queue.popleft()
            self._changed.notify_all()  # the next one may fit as well
            for kind, amount in need.items():
                self._free[kind] = self._free.get(kind, 0) - amount
        try:
            yield
        finally:
            with self._changed:
                for kind, amount in need.items():
                    self._free[kind] += amount
                self._changed.notify_all()
