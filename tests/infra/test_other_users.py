"""What another user of the machine gets from a running stack: no file, and of each port no read, no write, no code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local import processes
from infra.local.folders import PROJECT_ROOT
from infra.local.lifecycle import PARTS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

GET, POST, PUT, DELETE = "GET", "POST", "PUT", "DELETE"
REQUESTS = [
    # S3 and the inner ports of its server
    (GET, "/"), (GET, "/dir/assign"), (GET, "/dir/status"), (GET, "/col/delete?collection=none"), (GET, "/vol/status"),
    (GET, "/status"), (GET, "/stats/counter"), (GET, "/ui/index.html"), (GET, "/buckets/"), (GET, "/buckets/semanir/"),
    (PUT, "/buckets/semanir/intruder"), (DELETE, "/buckets/semanir/?recursive=true"), (GET, "/semanir/"),
    (PUT, "/semanir/intruder"), (GET, "/semanir/.semanir-ready"), (GET, "/debug/pprof/"),
    # MLflow: what its Flask serves, and what it serves beside that
    (GET, "/api/2.0/mlflow/experiments/search?max_results=9"), (POST, "/api/2.0/mlflow/experiments/create"),
    (GET, "/ajax-api/2.0/mlflow/experiments/search?max_results=9"), (GET, "/api/2.0/mlflow-artifacts/artifacts/"),
    (PUT, "/api/2.0/mlflow-artifacts/artifacts/intruder"), (POST, "/graphql"), (POST, "/v1/traces"), (GET, "/version"),
    (GET, "/ajax-api/3.0/jobs/1"), (POST, "/gateway/a/mlflow/invocations"), (GET, "/get-artifact?path=a&run_id=b"),
    (POST, "/api/2.0/mlflow/users/create"), (GET, "/signup"), (GET, "/api/2.0/mlflow/registered-models/search"),
    (POST, "/ajax-api/3.0/mlflow/assistant/message"), (GET, "/docs"), (GET, "/openapi.json"),
    # Ray: dashboard, agents, figures
    (GET, "/api/jobs/"), (POST, "/api/jobs/"), (GET, "/api/version"), (GET, "/nodes?view=summary"), (GET, "/logs/"),
    (GET, "/api/v0/nodes"), (GET, "/api/cluster_status"), (GET, "/api/serve/applications/"),
    (GET, "/api/job_agent/jobs/"), (POST, "/api/job_agent/jobs/"), (POST, "/get_or_create_runtime_env"),
    (GET, "/metrics"), (GET, "/worker/traceback"),
    (POST, "/api/packages/gcs/a.zip"),
]  # fmt: skip
HARMLESS = {"/"}  # the dashboard's page of HTML, which asks for the token


def intrude(**task: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("intruder.py"))], input=json.dumps(task), cwd=PROJECT_ROOT,
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def running(stack: Any) -> set[psutil.Process]:
    return {process for part in PARTS for process in processes.find(stack.layout.folder, part)}


def listening(stack: Any) -> list[int]:
    pids = {process.pid for process in running(stack)}
    sockets = psutil.net_connections("inet")
    return sorted({c.laddr.port for c in sockets if c.pid in pids and c.status == psutil.CONN_LISTEN})


def private(stack: Any) -> list[str]:
    """Files and folders of the stack, what its processes hold open to write, and its Unix sockets."""
    layout, pids = stack.layout, {process.pid for process in running(stack)}
    found = {str(path) for path in layout.folder.rglob("*")} | {str(layout.short_path()), f"{layout.short_path()}/ray"}
    for process in running(stack):
        found |= {file.path for file in process.open_files() if file.mode != "r"}
    found |= {str(c.laddr) for c in psutil.net_connections("unix") if c.pid in pids and str(c.laddr).startswith("/")}
    return sorted(found)


def test_another_user_gets_nothing(stack: Any) -> None:
    ports, files = listening(stack), private(stack)
    assert len(ports) > 15
    assert len(files) > 50
    given = intrude(ports=ports, http=REQUESTS, files=files)
    # A sign of life has no content.
    told = [(port, method, path, text) for port, method, path, _, text in given["http"] if text or method != GET]
    assert [answer for answer in told if answer[2] not in HARMLESS] == []
    assert given["files"] == []
    # A server that asks for a token says so for each method; one that does not know a method has nothing to give.
    answered = {
        (port, code): methods
        for port, by_code in given["grpc"].items()
        for code, methods in by_code.items()
        if code not in ("UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE")
    }
    assert answered == {}
    assert sum("UNAUTHENTICATED" in by_code for by_code in given["grpc"].values()) >= 4


def test_the_same_questions_are_answered_to_who_has_the_token(stack: Any) -> None:
    """Or the test above would prove nothing."""
    port = json.loads(stack.layout.ports_file.read_text())["gcs"]
    token, method = stack.layout.ray_token.read_text(), "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
    assert intrude(ports=[port], http=[], files=[], methods=[method], token=token)["grpc"][str(port)] == {
        "OK": [method]
    }


@pytest.mark.parametrize("member", [True, False], ids=["the stack itself", "another user"])
def test_the_inner_protocol_of_the_store_is_for_the_stack_alone(stack: Any, member: bool) -> None:
    ports = json.loads(stack.layout.ports_file.read_text())
    weed = next(process for process in processes.find(stack.layout.folder, "s3"))
    shell = [weed.cmdline()[0], "shell", f"-master=127.0.0.1:{ports['master']}.{ports['master_grpc']}"]
    known = {name: value for name, value in weed.environ().items() if name.startswith("WEED_")} if member else {}
    try:
        said = subprocess.run(
            shell, input="s3.bucket.list\nexit\n", env={"PATH": "/usr/bin:/bin", "HOME": "/", **known},
            capture_output=True, text=True, timeout=5, check=False, cwd="/",
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired as error:  # it goes on asking a master that does not answer it
        said = (error.stdout or b"").decode()
    assert ("semanir" in said) == member, said
