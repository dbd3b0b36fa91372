"""The queue of Kueue and the jobs in it: of their kinds, of one piece, and each gang within its quota."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from infra.local.folders import PROJECT_ROOT
from pipeline.commands import train
from tests.infra.test_manifests import check_kuberay, documents, pods

QUEUE = PROJECT_ROOT / "infra/k8s/queue"
OBJECTS = documents((QUEUE / "queues.yaml").read_text())
JOBS = documents((QUEUE / "train.yaml").read_text())
UNITS = {"m": Decimal("0.001"), "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
Json = dict[str, Any]


def exactly(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


TEXT: Json = {"type": "string"}
LABELS: Json = {"type": "object", "additionalProperties": TEXT, "minProperties": 1, "maxProperties": 8}
QUANTITY: Json = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\d+(m|[KMGT]i)?$"}]}
TOLERATION = exactly({"key": TEXT, "operator": {"enum": ["Exists"]}, "effect": {"enum": ["NoSchedule", "NoExecute"]}})
FLAVOR = exactly(
    {"name": TEXT, "resources": {"type": "array", "items": exactly({"name": TEXT, "nominalQuota": QUANTITY})}}
)
# The fields in use, by hand from Kueue's resource definitions of v1beta2.
KUEUE: dict[str, Json] = {
    "ResourceFlavor": {
        "type": "object",
        "properties": {"nodeLabels": LABELS, "tolerations": {"type": "array", "items": TOLERATION, "maxItems": 8}},
        "additionalProperties": False,
    },
    "ClusterQueue": exactly(
        {
            "namespaceSelector": exactly({"matchLabels": LABELS}),
            "queueingStrategy": {"enum": ["StrictFIFO", "BestEffortFIFO"]},
            "preemption": exactly({"withinClusterQueue": {"enum": ["Never", "LowerPriority"]}}),
            "resourceGroups": {
                "type": "array",
                "items": exactly(
                    {
                        "coveredResources": {"type": "array", "items": TEXT},
                        "flavors": {"type": "array", "items": FLAVOR},
                    }
                ),
            },
        }
    ),
    "LocalQueue": exactly({"clusterQueue": TEXT}),
}


def of_kind(kind: str) -> dict[str, Json]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


def amount(quantity: Any) -> Decimal:
    text = str(quantity)
    unit = text.lstrip("0123456789")
    return Decimal(text.removesuffix(unit)) * UNITS.get(unit, 1)


def gang(job: Json) -> Iterator[tuple[int, Json]]:
    """Every kind of pod of a job, and how many there are of it."""
    cluster = job["spec"]["rayClusterSpec"]
    yield 1, job["spec"]["submitterPodTemplate"]["spec"]
    yield 1, cluster["headGroupSpec"]["template"]["spec"]
    for group in cluster["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
        yield group["replicas"], group["template"]["spec"]


def flavor_of(count: int, pod: Json) -> str:
    """As Kueue chooses: the first whose node labels the pod's selector matches, and whose quota it fits."""
    (group,) = of_kind("ClusterQueue")["training"]["spec"]["resourceGroups"]
    labels = {name: one["spec"]["nodeLabels"] for name, one in of_kind("ResourceFlavor").items()}
    for flavor in group["flavors"]:
        asked = pod.get("nodeSelector", {}).items()
        quota = {one["name"]: amount(one["nominalQuota"]) for one in flavor["resources"]}
        requests = [container["resources"]["requests"] for container in pod["containers"]]
        needed = {name: count * sum(amount(one.get(name, 0)) for one in requests) for name in quota}
        assert {name for one in requests for name in one} <= set(quota)  # Kueue admits no resource that is not covered
        if asked <= labels[flavor["name"]].items() and all(needed[name] <= quota[name] for name in quota):
            return str(flavor["name"])
    raise AssertionError(f"no flavor takes {count} of {pod}")


def test_the_queue_is_kueues() -> None:
    for one in OBJECTS:
        assert one["apiVersion"] == "kueue.x-k8s.io/v1beta2"
        if one["kind"] != "WorkloadPriorityClass":
            jsonschema.Draft202012Validator(KUEUE[one["kind"]]).validate(one["spec"])
    wrong = copy.deepcopy(of_kind("ClusterQueue")["training"]["spec"])
    wrong["resourceGroups"][0]["flavors"][0]["resources"][0]["nominalQuotas"] = 1
    with pytest.raises(jsonschema.ValidationError, match="nominalQuotas"):
        jsonschema.Draft202012Validator(KUEUE["ClusterQueue"]).validate(wrong)


def test_what_the_queue_names_is_there() -> None:
    (group,) = of_kind("ClusterQueue")["training"]["spec"]["resourceGroups"]
    assert [flavor["name"] for flavor in group["flavors"]] == list(of_kind("ResourceFlavor"))
    for flavor in group["flavors"]:
        assert [one["name"] for one in flavor["resources"]] == group["coveredResources"]
    (queue,) = of_kind("LocalQueue").values()
    assert queue["spec"]["clusterQueue"] in of_kind("ClusterQueue")


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job["metadata"]["generateName"])
def test_a_queued_job_is_one_that_kueue_manages(job: Json) -> None:
    (queue,) = of_kind("LocalQueue").values()
    labels, spec = job["metadata"]["labels"], job["spec"]
    assert (labels["kueue.x-k8s.io/queue-name"], job["metadata"]["namespace"]) == (
        queue["metadata"]["name"], queue["metadata"]["namespace"]
    )  # fmt: skip
    assert labels.get("kueue.x-k8s.io/priority-class", "sweep") in of_kind("WorkloadPriorityClass")
    # Kueue's conditions: it starts the job, which brings its cluster, of a fixed size, and takes it away.
    assert spec["suspend"] is True
    assert spec["shutdownAfterJobFinishes"] is True
    assert "clusterSelector" not in spec
    assert spec["rayClusterSpec"]["enableInTreeAutoscaling"] is False
    assert len(spec["rayClusterSpec"]["workerGroupSpecs"]) <= 6  # 8 kinds of pod at most, head and submitter among them


@pytest.mark.parametrize(
    ("job", "kinds"), zip(JOBS, (["cpu", "cpu", "l40s"], ["cpu", "cpu", "h200"]), strict=True), ids=["any", "h200"]
)
def test_a_gang_has_quota_and_its_training_has_the_gpus(job: Json, kinds: list[str]) -> None:
    assert [flavor_of(count, pod) for count, pod in gang(job)] == kinds
    python, program, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert (python, program) == ("python", "jobs/train_all_tasks.py")
    parser = train.argparse.ArgumentParser()
    train.add_arguments(parser)
    options = parser.parse_args(arguments)
    assert (PROJECT_ROOT / options.config).is_file()
    workers = int(str(arguments[-1]).partition("training.num_workers=")[2])
    gpus = sum(
        count * int(container["resources"]["requests"].get("nvidia.com/gpu", 0))
        for count, pod in gang(job)
        for container in pod["containers"]
    )
    assert gpus % workers == 0  # that many tasks side by side


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job["metadata"]["generateName"])
def test_a_queued_job_is_kuberays_and_its_pods_are_restricted(job: Json) -> None:
    for pod in pods(job):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
    check_kuberay(job)  # last: it skips where KubeRay's schemas are not at hand
