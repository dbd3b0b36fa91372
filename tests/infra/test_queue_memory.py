"""What a queued training holds, by the dry run's own plan, fits each kind of card that the queue may give it."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from infra.local.folders import PROJECT_ROOT
from pipeline.commands import train
from pipeline.config import RunConfig, read_config, resolve
from pipeline.tasks import resolve_tasks
from pipeline.training.footprint import footprint
from tests.infra.test_queue import JOBS, amount, gang, of_kind

CARDS = {"NVIDIA-L40S": 48e9, "NVIDIA-H200": 141e9}  # bytes, by NVIDIA's data sheets
FAST = ("weather",)  # the largest task of the second job; each takes seconds to plan


def runs(job: dict[str, Any]) -> list[RunConfig]:
    parser = train.argparse.ArgumentParser()
    train.add_arguments(parser)
    options = parser.parse_args(shlex.split(job["spec"]["entrypoint"])[2:])
    document = read_config(PROJECT_ROOT / options.config)
    return [resolve(document, task.name, options.overrides) for task in resolve_tasks(options.tasks)]


def cards(job: dict[str, Any]) -> list[str]:
    """The kinds of GPU that the job's workers may be put on."""
    labels = {name: one["spec"]["nodeLabels"] for name, one in of_kind("ResourceFlavor").items()}
    (asked,) = [
        pod.get("nodeSelector", {})
        for _, pod in gang(job)
        if any("nvidia.com/gpu" in container["resources"]["requests"] for container in pod["containers"])
    ]
    (group,) = of_kind("ClusterQueue")["training"]["spec"]["resourceGroups"]
    return [
        labels[flavor["name"]]["nvidia.com/gpu.product"]
        for flavor in group["flavors"]
        for quota in flavor["resources"]
        if quota["name"] == "nvidia.com/gpu" and amount(quota["nominalQuota"])
        if asked.items() <= labels[flavor["name"]].items()
    ]


PLANS = [
    pytest.param(job, run, id=run.task, marks=[] if run.task in FAST else pytest.mark.slow)
    for job in JOBS
    for run in runs(job)
]


def test_a_job_that_names_no_kind_may_get_each() -> None:
    assert [cards(job) for job in JOBS] == [["NVIDIA-L40S", "NVIDIA-H200"], ["NVIDIA-H200"]]


@pytest.mark.parametrize(("job", "run"), PLANS)
def test_a_queued_training_fits_the_smallest_card_that_it_may_get(job: dict[str, Any], run: RunConfig) -> None:
    held = footprint(run, run.training.max_workers).total
    assert held < 0.9 * min(CARDS[card] for card in cards(job)), f"{held / 2**30:.1f} GiB"
