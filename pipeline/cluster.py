"""The one door to Ray's cluster: joining it, asking for room, running tasks, and hearing from them."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from pipeline.errors import UserError, first_line
from pipeline.native_stderr import Held, held_back

Item = TypeVar("Item")
Result = TypeVar("Result")

ASK_EVERY_S = 1.0
ANSWER_S = 10.0  # the board is one small actor beside the driver
MOST_CPUS = 4096  # an autoscaler may name no limit
WANTS_TOKEN = "asks for its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or source .stack/env (for `make up`)"
REMEDY = "set RAY_ADDRESS to a running cluster, or run `make up` and source .stack/env"


def connect() -> str:
    """Join the cluster of RAY_ADDRESS (inside a Ray job: the job's own). Never starts one.

    Returns the address of its dashboard, "" where it has none.

    Raises:
        UserError: there is no cluster, or it refuses.
    """
    import ray

    if ray.is_initialized():
        return ""
    address, said = os.environ.get("RAY_ADDRESS", ""), Held()
    if address.startswith(("http://", "https://")):
        raise UserError(f"RAY_ADDRESS={address} is a job server: use `ray job submit -- python …` with it")
    try:
        host, _, port = address.rpartition(":")
        if port.isdecimal() and not host.startswith("ray:"):
            # Ray would ask a server that is not there for minutes, and end with a traceback.
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
        # Workers' own output stays in Ray's log files: a person wants the progress lines. Of a refusal only what Ray
        # writes beneath Python says why, twenty times.
        with held_back() as said:
            joined = ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if "InvalidAuthToken" in said.text or "no authentication token" in str(error):
            raise UserError(f"the Ray cluster at {address or 'this machine'} {WANTS_TOKEN}") from None
        raise UserError(f"no Ray cluster at {address or 'this machine'} ({first_line(error)}): {REMEDY}") from None
    return f"http://{joined.dashboard_url}" if joined.dashboard_url else ""


def this_node() -> str:
    """The address of the node that this process runs on."""
    import ray.util

    return str(ray.util.get_node_ip_address())


def total_resources() -> dict[str, float]:
    """CPUs and GPUs of all living nodes, or what an autoscaler may let the cluster grow to, where that is more."""
    import ray

    from pipeline.ray_internals import state

    living, limit = ray.cluster_resources(), state.get_max_resources_from_cluster_config() or {}
    return {kind: float(max(living.get(kind, 0), limit.get(kind, 0))) for kind in ("CPU", "GPU")}


def map_tasks(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    num_cpus: float = 1,
    num_gpus: float = 0,
    at_once: int | None = None,
) -> Iterator[tuple[int, Result]]:
    """Run ``function`` on every item as Ray tasks; yields ``(index, result)`` as they finish.

    At most ``at_once`` tasks are in flight, and never more than twice what the cluster has CPUs and GPUs for, so a long
    list costs no memory. An exception of the function is raised here, as itself.
    """
    import ray

    remote = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(function)
    total = total_resources()
    fit = [min(total["CPU"], MOST_CPUS) // max(num_cpus, 1)] + ([total["GPU"] // num_gpus] if num_gpus else [])
    room = 2 * max(1, int(min(fit)))
    room = room if at_once is None else min(room, at_once)
    waiting = list(enumerate(items))[::-1]
    running: dict[Any, int] = {}
    while waiting or running:
        while waiting and len(running) < room:
            index, item = waiting.pop()
            running[remote.remote(item)] = index
        done, _ = ray.wait(list(running), num_returns=1)
        for reference in done:
            index = running.pop(reference)
            try:
                yield index, ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, UserError) else error from None


def draining_nodes() -> set[str]:
    """The nodes that take nothing new, because they are about to go."""
    from pipeline.ray_internals import state

    return set(state.get_draining_nodes())


def free_workers(each: Mapping[str, float]) -> int:
    """How many workers that take ``each`` would fit on the nodes now, beside all that runs there."""
    from pipeline.ray_internals import available_resources_per_node

    leaving = draining_nodes()
    return sum(
        int(min(free.get(kind, 0.0) // amount for kind, amount in each.items() if amount))
        for node, free in available_resources_per_node().items()
        if node not in leaving
    )


class Shared(Generic[Item]):
    """A value that is stored in the cluster once and read by any task that is given this handle."""

    def __init__(self, value: Item) -> None:
        import ray

        self._reference: Any = ray.put(value)

    def get(self) -> Item:
        """The value, fetched to this node if it is elsewhere."""
        import ray

        value: Item = ray.get(self._reference)
        return value


class Board:
    """A notice board in the cluster: workers post without waiting, the driver collects, or sends all workers home.

    For elastic runs two numbers per topic stand on it: how many workers the driver lets the run have, and how many the
    run is going to have; workers that are fewer leave, so that it can start with that many.

    Attributes:
        closed: on the driver, whether it dismissed the workers.
    """

    def __init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Beside the driver: on another node it would take the whole job with it when that node dies.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor: Any = ray.remote(num_cpus=0, max_restarts=0)(_Notices)
        self._actor: Any = actor.options(scheduling_strategy=here).remote()
        self.closed = False
        self._answer: Any = None
        self._asked_at = 0.0

    def post(self, topic: str, notice: Any) -> None:
        """Leave ``notice``; returns at once, and is lost only with the driver's node."""
        self._actor.post.remote(topic, notice)

    def collect(self) -> list[tuple[str, Any]]:
        """All notices since the last call, oldest first."""
        import ray

        return ray.get(self._actor.collect.remote())

    def dismiss(self) -> None:
        """On the driver: ask the workers to save and leave."""
        self.closed = True
        self._actor.dismiss.remote()

    def allow(self, topic: str, workers: int) -> None:
        """On the driver: let the run ``topic`` have up to ``workers`` workers; returns at once."""
        self._actor.allow.remote(topic, workers)

    def allowed(self, topic: str) -> int | None:
        """What :meth:`allow` was last told; None: as many as the run wants."""
        import ray

        number: int | None = ray.get(self._actor.allowed.remote(topic), timeout=ANSWER_S)
        return number

    def call_for(self, topic: str, workers: int) -> None:
        """Let the run ``topic`` be of ``workers`` workers: if it is of fewer, they save and leave."""
        import ray

        ray.get(self._actor.call_for.remote(topic, workers), timeout=ANSWER_S)

    def dismissed(self, topic: str, world_size: int) -> bool:
        """On one of ``world_size`` workers: whether to leave, by :meth:`dismiss` or :meth:`call_for`.

        Returns at once with what was so about a second ago.
        """
        import ray

        if self._answer is None:
            if time.monotonic() - self._asked_at < ASK_EVERY_S:
                return False
            self._answer, self._asked_at = self._actor.is_dismissed.remote(topic, world_size), time.monotonic()
        if not ray.wait([self._answer], timeout=0)[0]:
            return False
        answer, self._answer = bool(ray.get(self._answer)), None
        return answer


class _Notices:
    def __init__(self) -> None:
        self._notices: list[tuple[str, Any]] = []
        self._dismissed = False
        self._allowed: dict[str, int] = {}
        self._called_for: dict[str, int] = {}

    def dismiss(self) -> None:
        self._dismissed = True

    def is_dismissed(self, topic: str, world_size: int) -> bool:
        return self._dismissed or world_size < self._called_for.get(topic, 0)

    def allow(self, topic: str, workers: int) -> None:
        self._allowed[topic] = workers

    def allowed(self, topic: str) -> int | None:
        return self._allowed.get(topic)

    def call_for(self, topic: str, workers: int) -> None:
        self._called_for[topic] = workers

    def post(self, topic: str, notice: Any) -> None:
        self._notices.append((topic, notice))

    def collect(self) -> list[tuple[str, Any]]:
        notices, self._notices = self._notices, []
        return notices
