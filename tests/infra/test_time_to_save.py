"""How long those who run a training are given between SIGTERM and the end."""

from __future__ import annotations

import yaml

from pipeline.runs.stopping import GRACE_S
from tests.infra.test_manifests import INFRA, MANIFESTS, documents, pods


def test_whoever_trains_has_the_time_to_save_and_end() -> None:
    """Of Ray's nodes: workers, and the head, where the driver runs. Kubernetes' own is 30 s, Docker's 10."""
    found = {
        (path.name, pod["containers"][0]["name"]): pod.get("terminationGracePeriodSeconds", 30)
        for path in MANIFESTS
        for document in documents(path.read_text())
        for pod in pods(document)
        if pod["containers"][0]["name"].startswith("ray-")
    }
    assert {name for name, _ in found} == {"raycluster.yaml", "train.yaml", "restore.yaml"}
    assert {kind for _, kind in found} == {"ray-head", "ray-worker"}
    assert min(found.values()) > GRACE_S, found
    ray = yaml.safe_load((INFRA / "compose/compose.yaml").read_text())["services"]["ray"]
    assert ray["stop_grace_period"] == "1m"
    assert GRACE_S < 60
