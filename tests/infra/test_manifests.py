"""Every manifest, policy and build file is read by the validator of its kind."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.runtime_env import RuntimeEnv
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from infra.local.folders import PROJECT_ROOT
from pipeline.errors import UserError
from pipeline.ray_internals import prepare_config, validate_config
from pipeline.serving.service.settings import ServeSettings
from pipeline.settings import parse_settings

INFRA = PROJECT_ROOT / "infra"
KUBERNETES = "1.34"
# KubeRay's resource definitions as JSON Schema, rayjob-v1.schema.json and raycluster-v1.schema.json.
KUBERAY_SCHEMAS = Path(os.environ.get("KUBERAY_SCHEMAS", PROJECT_ROOT.parent / "shared/k8s"))
OVERLAYS = ("local", "production")
MANIFESTS = [path for path in sorted((INFRA / "k8s").rglob("*.yaml")) if path.name != "kustomization.yaml"]


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def rendered(overlay: str) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is missing: the overlays cannot be rendered (its client alone suffices)")
    done = subprocess.run(
        ["kubectl", "kustomize", str(INFRA / "k8s/overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def check(document: Mapping[str, Any]) -> None:
    """Raises when the document is not of its kind; KubeRay's are left to the tests below, Kueue's to test_queue.py."""
    if not document["apiVersion"].startswith(("ray.io/", "kueue.x-k8s.io/")):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def strict(schema: Any) -> Any:
    """The schema with unknown fields refused, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        closed["additionalProperties"] = False
    return closed


def check_kuberay(document: Mapping[str, Any]) -> None:
    path = KUBERAY_SCHEMAS / f"{document['kind'].lower()}-v1.schema.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {KUBERAY_SCHEMAS}: set KUBERAY_SCHEMAS to a folder that has it")
    schema = strict(json.loads(path.read_text())["properties"]["spec"])
    jsonschema.Draft202012Validator(schema).validate(document["spec"])
    for pod in pods(document):
        template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
        kubernetes_validate.validate(template, KUBERNETES, strict=True)


def check_service(document: Mapping[str, Any]) -> None:
    """A RayService: its cluster as KubeRay's schema has it, its applications as Ray Serve's own schema."""
    spec = document["spec"]
    known = {
        "serveConfigV2",
        "rayClusterConfig",
        "serviceUnhealthySecondThreshold",
        "deploymentUnhealthySecondThreshold",
    }
    assert set(spec) <= known
    check_kuberay({"kind": "RayCluster", "spec": spec["rayClusterConfig"]})
    written = yaml.safe_load(spec["serveConfigV2"])
    config = ServeDeploySchema.model_validate(written)
    assert set(written) <= set(ServeDeploySchema.model_fields)  # Ray itself passes over what it does not know
    assert {key for one in written["applications"] for key in one} <= set(ServeApplicationSchema.model_fields)
    for application in config.applications:
        module, _, name = application.import_path.partition(":")
        assert callable(getattr(import_module(module), name))
        values = {**application.args, "models": {"a": "x"}, "token_sha256": "0" * 64}
        assert parse_settings(ServeSettings, values, "args").host == config.http_options.host


def pods(node: Any) -> Iterator[dict[str, Any]]:
    """Every pod spec in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("containers"), list):
            yield node
        for value in node.values():
            yield from pods(value)
    elif isinstance(node, list):
        for value in node:
            yield from pods(value)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(INFRA / "k8s")))
def test_plain_manifests_are_kubernetes(path: Path) -> None:
    for document in documents(path.read_text()):
        check(document)


@pytest.mark.parametrize(
    "path", [p for p in MANIFESTS if "ray" in p.stem or p.parent.name == "jobs"], ids=lambda p: p.stem
)
def test_ray_manifests_are_kuberay(path: Path) -> None:
    found = [document for document in documents(path.read_text()) if document["apiVersion"] == "ray.io/v1"]
    assert found
    for document in found:
        check_kuberay(document)


@pytest.mark.parametrize("path", sorted((INFRA / "k8s/services").glob("*.yaml")), ids=lambda path: path.stem)
def test_services_are_kuberay_and_ray_serve(path: Path) -> None:
    service, *others = documents(path.read_text())
    check_service(service)
    assert {other["kind"] for other in others} == {"NetworkPolicy"}
    wrong = yaml.safe_load(
        path.read_text().partition("\n---")[0].replace("max_pixels: 25000000", "max_pixel: 25000000")
    )
    with pytest.raises(UserError, match=r"unknown key 'limits\.max_pixel'"):
        check_service(wrong)
    wrong = yaml.safe_load(path.read_text().partition("\n---")[0].replace("route_prefix", "prefix_route"))
    with pytest.raises(AssertionError, match="prefix_route"):
        check_service(wrong)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_render_to_what_kubernetes_and_kuberay_take(overlay: str) -> None:
    everything = rendered(overlay)
    for document in everything:
        check(document)
    (cluster,) = [document for document in everything if document["kind"] == "RayCluster"]
    check_kuberay(cluster)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted_and_bounded(overlay: str) -> None:
    found = [pod for document in rendered(overlay) for pod in pods(document)]
    assert len(found) >= 3
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"].rpartition("/")[2]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_named_and_never_given(overlay: str) -> None:
    everything = rendered(overlay)
    assert not [document for document in everything if document["kind"] == "Secret"]
    for pod in (pod for document in everything for pod in pods(document)):
        for variable in (entry for container in pod["containers"] for entry in container.get("env", [])):
            secret = any(word in variable["name"] for word in ("SECRET", "PASSWORD", "TOKEN", "ACCESS_KEY"))
            assert not (secret and "value" in variable), variable["name"]


def test_a_typing_error_is_refused() -> None:
    cluster = documents((INFRA / "k8s/base/raycluster.yaml").read_text())[0]
    cluster["spec"]["workerGroupSpecs"][0]["maxReplica"] = 4
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        check_kuberay(cluster)
    policy = documents((INFRA / "k8s/base/network.yaml").read_text())[0]
    policy["spec"]["podSelectors"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(policy)


def test_every_config_map_and_secret_of_a_pod_is_made_somewhere() -> None:
    guide = (INFRA / "OPERATIONS.md").read_text()
    for overlay in OVERLAYS:
        everything = rendered(overlay)
        maps = {document["metadata"]["name"] for document in everything if document["kind"] == "ConfigMap"}
        for reference in references(everything):
            kind, name = reference
            assert name in maps if kind == "configMap" else f"generic {name} " in guide, f"{overlay}: {reference}"


def references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("configMapRef", "configMap") and "name" in value:
                yield "configMap", value["name"]
            elif key in ("secretRef", "secretKeyRef"):
                yield "secret", value["name"]
            elif key == "secret" and "secretName" in value:
                yield "secret", value["secretName"]
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("path", sorted((INFRA / "k8s/jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_jobs_take_their_command_lines(path: Path) -> None:
    (job,) = documents(path.read_text())
    python, program, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert python == "python"
    module = SourceFileLoader(path.stem, str(PROJECT_ROOT / program)).load_module()
    (command,) = (value for value in vars(module).values() if hasattr(value, "add_arguments"))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    for value in vars(parser.parse_args(arguments)).values():
        assert not str(value).startswith("jobs/") or (PROJECT_ROOT / value).is_file(), value


def test_compose_file() -> None:
    text = (INFRA / "compose/compose.yaml").read_text()
    PyCompose.from_yaml(text).validate()
    with pytest.raises(ValueError, match="shm_sizes"):
        PyCompose.from_yaml(text.replace("shm_size:", "shm_sizes:"))
    ports = [port for service in yaml.safe_load(text)["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_autoscaler_file() -> None:
    config = yaml.safe_load((INFRA / "ray/cluster-aws.yaml").read_text())
    validate_config(prepare_config(config))
    with pytest.raises(Exception, match="max_worker"):
        validate_config({**config, "max_worker": 4})


def test_runtime_environment() -> None:
    document = yaml.safe_load((INFRA / "ray/runtime-env.yaml").read_text())
    RuntimeEnv(**document, working_dir="s3://bucket/code.zip")
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    needed = {Requirement(line).name for line in project["dependencies"] + project["optional-dependencies"]["train"]}
    pinned = [Requirement(line) for line in (PROJECT_ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    versions = {canonicalize_name(one.name): str(one.specifier) for one in pinned}
    given = [Requirement(line) for line in (INFRA / "ray/requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert {canonicalize_name(one.name): str(one.specifier) for one in given} == {
        # Ray is the cluster's own, and torch brings the Triton that it was built with.
        name: versions[name]
        for name in map(canonicalize_name, needed - {"ray", "triton"})
    }


def test_what_users_install_ends_where_something_may_break() -> None:
    """Versions that are dates say nothing of what breaks; every other requirement has an upper bound."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for name, lines in project["optional-dependencies"].items() if name != "dev"]
    needed = [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]
    ends = {"~=", "<", "<=", "=="}
    without = {one.name for one in needed if not ends & {part.operator for part in one.specifier}}
    assert without == {"tifffile", "imagecodecs", "openvino"}


@pytest.mark.parametrize("path", sorted((INFRA / "s3").glob("*.json")), ids=lambda path: path.stem)
def test_policies_are_iam_and_least_privilege(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it reads its tables through a module that setuptools will drop
        from parliament import analyze_policy_string
    assert [str(finding) for finding in analyze_policy_string(path.read_text()).findings] == []
    wide = path.read_text().replace('"s3:GetObject"', '"s3:*"', 1).replace("arn:aws:s3:::semanir", "*")
    assert analyze_policy_string(wide).findings


def test_dockerfile(tmp_path: Path) -> None:
    hadolint = str(Path(sys.prefix) / "bin" / "hadolint")
    done = subprocess.run([hadolint, str(PROJECT_ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM ubuntu\nRUN cd /tmp && sudo make\n")
    assert subprocess.run([hadolint, str(tmp_path / "Dockerfile")], capture_output=True, check=False).returncode != 0
    stages = [
        line for line in (PROJECT_ROOT / "Dockerfile").read_text().splitlines() if line.startswith(("FROM", "USER"))
    ]
    assert [line.split()[0] for line in stages] == ["FROM"] * 4 + ["USER", "FROM", "USER"]  # what runs is never root
