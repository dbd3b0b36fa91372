"""Ray's private parts, all of them: no other file of ours imports one, or touches one that is not listed here.

``PRIVATE`` lists each name with the module that holds it, and is how it is reached: ``from pipeline.ray_internals
import ResizeDecision`` imports it from there; what tests alone look up stands there too. ``ATTRIBUTES`` lists the
private methods and attributes of Ray's classes that ours override, call, read or set, where they do. A test looks both
up in the installed version, so a new one of Ray that renames any of them is seen before a cluster is; another sees that
no file reaches past the two lists.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_TRAIN = "ray.train.v2._internal"
_SCALING = f"{_TRAIN}.execution.scaling_policy"
_STATES = f"{_TRAIN}.execution.controller.state"

PRIVATE = {
    # What each node has free, and how far the autoscaler may grow the cluster: no public call of Ray says either.
    "state": "ray._private.state",
    "available_resources_per_node": "ray._private.state",
    # The process group's backend, whose start is where a worker's main thread can be reached.
    "_TorchBackend": "ray.train.torch.config",
    # The worker's own context: whether its node is about to go.
    "get_train_context": f"{_TRAIN}.execution.context",
    # Scaling policy: which numbers of workers will do.
    "ElasticScalingPolicy": _SCALING,
    "NoopDecision": _SCALING,
    "ResizeDecision": _SCALING,
    "ScalingDecision": _SCALING,
    "AUTOSCALING_REQUESTS_GET_TIMEOUT_S": _SCALING,
    "TrainAutoscalingCoordinatorClient": f"{_SCALING}.autoscaling_coordinator_client",
    "WORKER_GROUP_START_TIMEOUT_S_ENV_VAR": f"{_TRAIN}.constants",
    "WORKER_HEALTH_CHECK_TIMEOUT_S_ENV_VAR": f"{_TRAIN}.constants",
    "WorkerGroupPollStatus": f"{_TRAIN}.execution.worker_group",
    "WorkerGroupState": f"{_TRAIN}.execution.worker_group",
    # What the controller of a run is doing.
    "InitializingState": _STATES,
    "PreemptingState": _STATES,
    "ReschedulingState": _STATES,
    "RunningState": _STATES,
    "SchedulingState": _STATES,
    "TrainControllerState": _STATES,
    # A worker's exception as it comes to the driver: ours is inside.
    "UserExceptionWithTraceback": f"{_TRAIN}.exceptions",
    # Where Ray Train notes which checkpoints it knows; ours are found without it.
    "CHECKPOINT_MANAGER_SNAPSHOT_FILENAME": f"{_TRAIN}.constants",
    # Tests alone: the clock that the elastic policy goes by, the metrics that a dashboard asks for, what reads the file
    # for cloud machines, and what asks whether a node is there when one is started.
    "services": "ray._private",
    "time_monotonic": f"{_SCALING}.elastic",
    "ControllerMetrics": f"{_TRAIN}.metrics.controller",
    "WorkerMetrics": f"{_TRAIN}.metrics.worker",
    "METRICS_GAUGES": "ray.dashboard.modules.reporter.reporter_agent",
    "prepare_config": "ray.autoscaler._private.util",
    "validate_config": "ray.autoscaler._private.util",
}

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "ray._private.state:GlobalState": ("get_max_resources_from_cluster_config", "get_draining_nodes"),
    "ray.train.torch.config:TorchConfig": ("backend_cls",),
    "ray.train.torch.config:_TorchBackend": ("on_start", "on_shutdown"),
    f"{_TRAIN}.execution.context:TrainContext": ("preemption_context",),
    "ray.train.v2.torch.torch_trainer:TorchTrainer": ("_initialize_and_run_controller",),
    "ray.train.v2.api.config:ScalingConfig": ("_resources_per_worker_not_none",),
    f"{_SCALING}:ElasticScalingPolicy": (
        "make_decision_for_non_running_worker_group",
        "make_decision_for_running_worker_group",
        "after_controller_state_update",
        "after_controller_start",
        "before_controller_shutdown",
        "scaling_config",
        "_autoscaling_coordinator",
        "_cancel_resource_request",
        "_coordinator_client",
        "_count_possible_workers",
        "_get_num_workers_for_resource_request",
        "_get_reserved_resources",
        "_maybe_send_resource_request",
        "_requester_id",
        "_send_resource_request",
    ),
    f"{_TRAIN}.exceptions:UserExceptionWithTraceback": ("_base_exc",),
    f"{_TRAIN}.execution.worker_group:WorkerGroup": ("shutdown",),
    f"{_TRAIN}.execution.worker_group:WorkerGroupState": ("num_workers", "start_time"),
}


def __getattr__(name: str) -> Any:
    if name not in PRIVATE:
        raise AttributeError(f"{name} is not in pipeline.ray_internals.PRIVATE")
    return getattr(import_module(PRIVATE[name]), name)
