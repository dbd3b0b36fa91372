"""The dashboard asks for metrics that exist: Ray's own by their definitions, ours by what the loop logs."""

from __future__ import annotations

import ast
import json
import re

import yaml

from infra.local.folders import PROJECT_ROOT
from pipeline.ray_internals import METRICS_GAUGES, ControllerMetrics, WorkerMetrics

FOLDER = PROJECT_ROOT / "infra/monitoring"


def asked() -> set[str]:
    """Names of all metrics in the dashboard's queries, less Ray's prefix."""
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    plain = [re.sub(r"\{[^}]*\}|by \([^)]*\)", "", query) for query in queries]
    return {name for query in plain for name in re.findall(r"\bray_(\w+)", query)}


def logged() -> set[str]:
    """Keys of the figures that the training loop gathers and sends on."""
    files = [*sorted((PROJECT_ROOT / "pipeline/training").glob("*.py")), PROJECT_ROOT / "pipeline/data/faults.py"]
    dicts = [node for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Dict)]
    return {str(key.value) for node in dicts for key in node.keys if isinstance(key, ast.Constant)} | {"step"}


def test_every_metric_of_the_dashboard_exists() -> None:
    train = {value for kind in (ControllerMetrics, WorkerMetrics) for value in vars(kind).values()}
    ours = {f"semanir_{name}" for name in logged()}
    names = asked()
    assert len(names) > 10
    assert names <= set(METRICS_GAUGES) | {name for name in train if isinstance(name, str)} | ours


def test_panels_have_names_and_places_of_their_own() -> None:
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    for of in (lambda p: p["id"], lambda p: p["title"], lambda p: (p["gridPos"]["x"], p["gridPos"]["y"])):
        assert len({of(panel) for panel in panels}) == len(panels)


def test_prometheus_finds_the_ports_that_the_pods_name() -> None:
    (scrape,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    wanted = {rule["regex"] for rule in scrape["relabel_configs"] if "port_name" in rule["source_labels"][0]}
    cluster = yaml.safe_load((PROJECT_ROOT / "infra/k8s/base/raycluster.yaml").read_text())["spec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for container in (group["template"]["spec"]["containers"][0] for group in groups):
        assert wanted <= {port["name"] for port in container["ports"]}
