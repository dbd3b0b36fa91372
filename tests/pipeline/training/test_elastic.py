"""Elastic runs: which worlds they may have, and what the policy answers Ray Train."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import GetTimeoutError
from ray.train.v2.api.config import ScalingConfig

from pipeline.cluster import _Notices
from pipeline.config import RunConfig, resolve
from pipeline.ray_internals import (
    PRIVATE,
    WORKER_GROUP_START_TIMEOUT_S_ENV_VAR,
    InitializingState,
    NoopDecision,
    ReschedulingState,
    ResizeDecision,
    RunningState,
    SchedulingState,
)
from pipeline.runs.preflight import check_config
from pipeline.training import elastic
from pipeline.training.elastic import ElasticPolicy
from pipeline.training.worlds import allowed_worlds, largest_world


def config(workers: list[int], streams: int, **training: Any) -> RunConfig:
    document = {
        "defaults": {
            "storage": "unused",
            "data": {"train": "a", "val": "a", "streams": streams},
            "training": {"steps": 2, "num_workers": workers, **training},
        }
    }
    return resolve(document, "denoising_color", ())


@pytest.mark.parametrize(
    ("workers", "streams", "training", "worlds"),
    [
        ([1, 8], 64, {"global_batch_size": 8}, [1, 2, 4, 8]),
        ([2, 4], 64, {"global_batch_size": 8}, [2, 4]),
        ([1, 6], 12, {"global_batch_size": 12}, [1, 2, 3, 4, 6]),
        ([1, 6], 12, {"global_batch_size": 12, "micro_batch_size": 2}, [1, 2, 3, 6]),
        ([1, 3], 12, {"global_batch_size": 12, "micro_batch_size": 4}, [1, 3]),
        ([1, 2], 12, {"global_batch_size": 12, "phases": [{"steps": 2, "global_batch_size": 2}]}, [1, 2]),
        ([2, 3], 6, {"global_batch_size": 6}, [2, 3]),
    ],
)
def test_worlds_keep_order_and_fill_micro_batches(
    workers: list[int], streams: int, training: dict[str, Any], worlds: list[int]
) -> None:
    run = config(workers, streams, **training)
    check_config(run)
    assert allowed_worlds(run) == worlds


@pytest.mark.parametrize(
    ("workers", "words"), [([1, 8], "world of 8 .* nearest allowed: 4"), ([2, 6], "world of 6"), ([3, 6], "world of 3")]
)
def test_both_ends_must_keep_the_order(workers: list[int], words: str) -> None:
    with pytest.raises(Exception, match=words) as refusal:
        check_config(config(workers, 4, global_batch_size=24))
    assert "\n" not in str(refusal.value)


@given(st.lists(st.integers(1, 64), min_size=1, unique=True).map(sorted), st.integers(0, 80))
def test_rounding_finds_the_largest_world(worlds: list[int], workers: int) -> None:
    world = largest_world(worlds, workers)
    assert world in worlds or (world == 0 and workers < worlds[0])
    assert world <= workers
    assert not any(world < other <= workers for other in worlds)


class Notes:
    """A board that stands here."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.called: list[int] = []
        self.busy = False

    def allowed(self, topic: str) -> int | None:
        self._answer()
        return self.limit

    def call_for(self, topic: str, workers: int) -> None:
        self._answer()
        self.called.append(workers)

    def _answer(self) -> None:
        if self.busy:
            raise GetTimeoutError


class World:
    """A policy over [1, 2, 4, 8] workers of 2 CPUs, in a cluster that the test makes up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, grow_after_s: float = 0) -> None:
        scaling = ScalingConfig(
            num_workers=(1, 8), resources_per_worker={"CPU": 2}, elastic_resize_monitor_interval_s=grow_after_s
        )
        self.notes = Notes()
        self.policy = ElasticPolicy(scaling, [1, 2, 4, 8], "run", self.notes)  # type: ignore[arg-type]
        self.nodes: dict[str, float] = {}
        self.free = 0
        self.requested: list[int] = []
        self.canceled = False
        policy: Any = self.policy
        monkeypatch.setattr(
            policy, "_get_reserved_resources", lambda: {name: {"CPU": cpus} for name, cpus in self.nodes.items()}
        )
        monkeypatch.setattr(policy, "_maybe_send_resource_request", lambda: None)
        monkeypatch.setattr(
            policy,
            "_send_resource_request",
            lambda: self.requested.append(policy._get_num_workers_for_resource_request()),
        )
        monkeypatch.setattr(policy, "_cancel_resource_request", lambda: setattr(self, "canceled", True))
        monkeypatch.setattr(elastic, "free_workers", lambda each: self.free)
        monkeypatch.setattr(elastic, "LOOK_EVERY_S", 0)

    def start(self) -> int | None:
        decision = self.policy.make_decision_for_non_running_worker_group()
        if isinstance(decision, NoopDecision):
            return None
        assert isinstance(decision, ResizeDecision)
        return decision.num_workers

    def look(self, running: int, started: float = float("-inf")) -> None:
        state: Any = SimpleNamespace(num_workers=running, start_time=started)
        decision = self.policy.make_decision_for_running_worker_group(state, None)  # type: ignore[arg-type]
        assert isinstance(decision, NoopDecision), "Ray Train would kill the workers"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.mark.parametrize(
    ("nodes", "workers"),
    [([], None), ([1, 1], None), ([2], 1), ([3, 5], 2), ([6], 2), ([4, 4, 3], 4), ([2] * 7, 4), ([64], 8)],
)
def test_starts_with_the_largest_world_there_is_room_for(world: World, nodes: list[float], workers: int | None) -> None:
    world.nodes = dict(zip("abcdefg", nodes, strict=False))
    assert world.start() == workers
    assert world.notes.called == ([] if workers is None else [workers])


def test_grows_by_asking_and_only_into_what_is_free(world: World) -> None:
    world.nodes = {"a": 4}
    assert world.start() == 2
    world.nodes["b"] = 6
    world.free = 1
    world.look(2)
    assert world.notes.called == [2], "someone else is on the new node: 3 workers make no world"
    world.free = 3
    world.look(2)
    assert world.notes.called == [2, 4]
    assert world.start() == 4
    world.nodes = {"a": 4}
    world.look(4)
    assert world.notes.called == [2, 4, 4], "a group that trains is never made smaller"
    assert world.start() == 2


def test_keeps_its_place_in_the_queue_only_when_it_comes_back(world: World) -> None:
    world.nodes = {"a": 4}
    world.start()
    asyncio.run(world.policy.before_controller_shutdown())
    assert world.canceled
    world.canceled, world.nodes["b"], world.free = False, 4, 2
    world.look(2)
    asyncio.run(world.policy.before_controller_shutdown())
    assert not world.canceled


def test_stays_within_what_the_driver_allows(world: World) -> None:
    world.nodes, world.free, world.notes.limit = {"a": 64}, 32, 2
    assert world.start() == 2
    assert world.requested == [2]
    world.look(2)
    assert world.notes.called == [2]
    world.notes.limit = 4
    world.look(2)
    assert world.requested == [2, 4]
    assert world.notes.called == [2, 4]


def test_a_driver_that_does_not_answer_is_asked_again(world: World) -> None:
    world.nodes, world.free, world.notes.busy = {"a": 4}, 2, True
    assert world.start() is None
    world.look(1)
    world.notes.busy = False
    assert world.start() == 2
    assert world.notes.called == [2]


def test_those_who_found_no_place_are_fewer_next_time(world: World) -> None:
    world.nodes = {"a": 16}
    error: Any = RuntimeError("no place")
    started = []
    for _ in range(5):
        started.append(world.start())
        world.policy.after_controller_state_update(
            SchedulingState(ResizeDecision(8, {})), ReschedulingState(training_failed_error=error)
        )
    assert started == [8, 4, 2, 1, 8]
    assert world.start() == 4
    world.policy.after_controller_state_update(SchedulingState(ResizeDecision(4, {})), RunningState())
    assert world.start() == 8
    world.policy.after_controller_state_update(InitializingState(), SchedulingState(ResizeDecision(8, {})))
    assert world.start() == 8


def test_does_not_grow_right_after_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, grow_after_s=30)
    now = 100.0
    monkeypatch.setattr(f"{PRIVATE['time_monotonic']}.time_monotonic", lambda: now)
    world.nodes, world.free = {"a": 4}, 2
    world.look(1, started=90)
    assert world.notes.called == []
    now = 121.0
    world.look(1, started=90)
    assert world.notes.called == [2]
    now = 140.0
    world.look(1, started=90)
    assert world.notes.called == [2], "asked again too soon"


def test_only_workers_that_are_too_few_are_sent_home() -> None:
    notices = _Notices()
    notices.call_for("run", 2)
    asked = [("run", 1), ("run", 2), ("run", 4), ("other", 1)]
    assert [notices.is_dismissed(*one) for one in asked] == [True, False, False, False]
    notices.call_for("run", 1)  # what starts now stays
    assert not notices.is_dismissed("run", 1)
    notices.dismiss()
    assert all(notices.is_dismissed(*one) for one in asked)


@pytest.mark.parametrize(("given", "used"), [("900", 20.0), ("5", 5.0), (None, 20.0)])
def test_workers_are_placed_soon_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch, given: str | None, used: float, tmp_path: Path
) -> None:
    monkeypatch.setenv(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, given or "")
    if given is None:
        monkeypatch.delenv(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR)
    world.policy.after_controller_start(None)
    assert float(os.environ[WORKER_GROUP_START_TIMEOUT_S_ENV_VAR]) == used
    assert world.requested == [8]


@pytest.mark.slow
def test_rays_own_policy_and_coordinator_answer_as_the_patched_ones(tmp_path: Path) -> None:
    """Nothing patched: Ray's coordinator counts a real cluster, to which a node comes and from which one is lost."""
    script = Path(__file__).parent / "real_policy.py"
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(script.parents[3])}
    command = [sys.executable, str(script), str(tmp_path / "found.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "two fit": 2,
        "no room for four": False,
        "four fit now": True,
        "starts with four": True,
        "a lost node": True,
        "allowed one": True,
    }
