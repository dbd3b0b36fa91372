"""How a worker hears that it must go: SIGTERM to its process, or its node being drained."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.train import WorkerGroupError
from ray.train.constants import TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S
from ray.train.torch import TorchConfig

from pipeline.ray_internals import _TorchBackend, get_train_context
from pipeline.training.known_peers import Stranger
from pipeline.training.rendezvous import end_meeting, is_shared, meet_in, meeting_place, sight_of

_terminated = threading.Event()


# A worker that answers nothing does not take its process group down either, and Ray Train waits for it, by default for
# half a minute.
LEAVES_WITHIN_S = 10
CLEARS_WITHIN_S = 2  # where that was answered


class PreemptibleTorchConfig(TorchConfig):
    """Ray Train's process group, on workers that survive SIGTERM until they have saved."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _PreemptibleBackend


class _PreemptibleBackend(_TorchBackend):
    _place: str | None = None  # of the group that runs now

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        # Here, because only a process's main thread may set a handler, and training runs on another.
        worker_group.execute(_listen)
        self._place = place = worker_group.execute_single(0, meeting_place)
        worker_group.execute(meet_in, place if is_shared(worker_group.execute(sight_of, place)) else None)
        # This is the controller's process.
        os.environ.setdefault(TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S, str(LEAVES_WITHIN_S))
        try:
            super().on_start(worker_group, backend_config)
        except (Stranger, RuntimeError) as error:  # torch's, of a connection or a store, are RuntimeErrors
            # To Ray Train what goes wrong here is no failure of the workers: it would end the run, and leave them where
            # they are, in the room that the next needs. It is one, as in a group that they make later. A worker's death
            # is none of these: Ray Train itself counts it.
            worker_group.shutdown()
            cause = getattr(error, "cause", error)  # without the worker's traceback; all of them say the same
            raise WorkerGroupError(str(cause), {0: cause}) from None

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        super().on_shutdown(worker_group, backend_config)
        if self._place is None:  # it came to none
            return
        # Ray kills the workers next, so that none clears up at its exit.
        with suppress(GetTimeoutError):
            ray.get(worker_group.execute_single_async(0, end_meeting, self._place), timeout=CLEARS_WITHIN_S)


def _listen() -> None:
    _terminated.clear()
    signal.signal(signal.SIGTERM, lambda number, frame: _terminated.set())


def told_to_leave() -> bool:
    """Whether this worker got SIGTERM, or the node of any worker is being drained; never waits.

    The public ``ray.train.get_preemption_info`` is a barrier of all workers through an actor: too slow for every step.
    """
    return _terminated.is_set() or get_train_context().preemption_context.preemption_info is not None
