"""How many workers an elastic run starts with, and when it starts again with more.

Ray Train counts what the cluster has for the run and starts a group of workers; this policy tells it which numbers
will do. Nothing waits for a lost node: a group that lost a worker starts again with the largest world that is there.
When there is room for a larger one, Ray Train would kill the group; here it is asked to leave (Board.call_for): it
saves after the step it is in, and ``run_training`` starts Ray Train anew.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.train.v2.api.config import ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from pipeline.cluster import Board, draining_nodes, free_workers
from pipeline.ray_internals import (
    AUTOSCALING_REQUESTS_GET_TIMEOUT_S,
    WORKER_GROUP_START_TIMEOUT_S_ENV_VAR,
    ElasticScalingPolicy,
    NoopDecision,
    PreemptingState,
    ReschedulingState,
    ResizeDecision,
    RunningState,
    ScalingDecision,
    TrainAutoscalingCoordinatorClient,
    TrainControllerState,
    WorkerGroupPollStatus,
    WorkerGroupState,
)
from pipeline.training.worlds import largest_world

logger = logging.getLogger(__name__)

PLACED_WITHIN_S = 20.0  # workers for whom there is room; about as long as a node that just died is taken for alive
LOOK_EVERY_S = 1.0


class PolicyTrainer(TorchTrainer):
    """Ray Train's trainer under a scaling policy of one's own, or with None, under its own."""

    def __init__(self, *args: Any, policy: ElasticPolicy | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._policy = policy

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        if self._policy is not None:
            arguments["scaling_policy"] = self._policy
        return super()._initialize_and_run_controller(**arguments)


class ElasticPolicy(ElasticScalingPolicy):
    """Ray Train's elastic policy, held to ``worlds`` (ascending) and to what ``board`` allows the run ``topic``."""

    def __init__(self, scaling_config: ScalingConfig, worlds: Sequence[int], topic: str, board: Board) -> None:
        super().__init__(scaling_config)
        self._worlds, self._topic, self._board = list(worlds), topic, board
        self._allowed = self._worlds[-1]
        self._most = self._worlds[-1]  # that could be placed, as far as starting has shown
        self._started_with = 0
        self._running: int | None = None  # how many while they train
        self._comes_back = False

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """The largest world there is room for, whatever ran before; a wait while there is not even the smallest."""
        self._running, self._comes_back = None, False
        self._hear_what_is_allowed()
        decision = super().make_decision_for_non_running_worker_group()
        # Those who start now are to stay.
        if isinstance(decision, ResizeDecision) and self._call_for(decision.num_workers):
            self._started_with = decision.num_workers
            return decision
        time.sleep(LOOK_EVERY_S)  # Ray Train's controller asks again at once
        return NoopDecision()

    def make_decision_for_running_worker_group(
        self, worker_group_state: WorkerGroupState, worker_group_status: WorkerGroupPollStatus
    ) -> ScalingDecision:
        """Never a resize, which kills: workers are called for, and the group leaves when it has saved.

        A group is not made smaller either: what trains has what it needs, whatever the count says.
        """
        self._running = worker_group_state.num_workers
        self._hear_what_is_allowed()
        decision = super().make_decision_for_running_worker_group(worker_group_state, worker_group_status)
        if isinstance(decision, ResizeDecision) and decision.num_workers > self._running:
            self._comes_back = self._call_for(decision.num_workers)
        return NoopDecision()

    def _count_possible_workers(self, reserved_resources: Any) -> int:
        most = min(self._allowed, self._most)
        if self._running is not None:
            # Ray Train counts what nodes have, not what others on the cluster take of it: who leaves must come back.
            most = min(self._allowed, self._running + free_workers(self.scaling_config._resources_per_worker_not_none))
        return largest_world(self._worlds, min(super()._count_possible_workers(reserved_resources), most))

    def after_controller_state_update(self, previous: TrainControllerState, current: TrainControllerState) -> None:
        """Next time fewer workers, when those that started found no place; all again, when the fewest did not."""
        if isinstance(current, ReschedulingState) and not isinstance(previous, ReschedulingState):
            self._most = largest_world(self._worlds, self._started_with - 1) or self._worlds[-1]
        elif isinstance(current, RunningState):
            self._most = self._worlds[-1]
        elif isinstance(current, PreemptingState):
            self._comes_back = True

    def after_controller_start(self, train_run_context: Any) -> None:
        """Ask for room in the run's own name, which keeps its place before later ones when it starts anew."""
        # Room is counted before workers start: who then finds no place need not wait for a node to come.
        limit = float(os.environ.get(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, PLACED_WITHIN_S))
        os.environ[WORKER_GROUP_START_TIMEOUT_S_ENV_VAR] = str(min(limit, PLACED_WITHIN_S))
        self._requester_id = f"train-{self._topic}"
        self._coordinator_client = TrainAutoscalingCoordinatorClient(self._requester_id)
        self._send_resource_request()

    async def before_controller_shutdown(self) -> None:
        """Give the room back, unless the run goes on at once with other workers."""
        if not self._comes_back:
            await super().before_controller_shutdown()

    def _get_num_workers_for_resource_request(self) -> int:
        return self._allowed

    def _call_for(self, workers: int) -> bool:
        """Whether the board heard; a driver's node that is too busy to answer is asked again, and ends no run."""
        try:
            self._board.call_for(self._topic, workers)
        except ray.exceptions.GetTimeoutError:
            logger.warning("%s: the driver did not hear of %d workers; asking again", self._topic, workers)
            return False
        return True

    def _hear_what_is_allowed(self) -> None:
        try:
            allowed = min(self._board.allowed(self._topic) or self._worlds[-1], self._worlds[-1])
        except ray.exceptions.GetTimeoutError:
            return  # what was allowed still is
        if allowed != self._allowed:
            self._allowed = allowed
            self._send_resource_request()

    def _get_reserved_resources(self) -> Any:
        """What the cluster holds for this run, counted now: Ray Train's own answer is up to 20 s old."""
        try:
            reserved = ray.get(
                self._autoscaling_coordinator.get_reserved_resources.remote(self._requester_id, recompute=True),
                timeout=AUTOSCALING_REQUESTS_GET_TIMEOUT_S,
            )
        except (ray.exceptions.GetTimeoutError, ray.exceptions.RayError) as error:
            logger.warning("%s: the cluster's room was not counted (%s); asking again", self._topic, error)
            return None
        leaving = draining_nodes()
        return {node: resources for node, resources in reserved.items() if node not in leaving}
