"""What another user of the machine gets from a running stack: no file, and of each port no read, no write, no code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import psutil
import pytest

from infra.local import processes
from infra.local.lifecycle import PARTS

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

# Run as that user, with a Python that it can read: asks every port in every way, and says what was answered.
PROBE = """
    import json, os, socket, ssl, sys, urllib.error, urllib.request
    ports, paths, files = json.load(sys.stdin)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    found = []
    open_ = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    ).open
    for port in ports:
        for scheme in ("http", "https"):
            for method, path in paths:
                try:
                    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", method=method)
                    with open_(request, timeout=3) as answer:
                        found.append([port, method, path, answer.status, answer.read(200).decode("latin-1")])
                except urllib.error.HTTPError as error:
                    if error.code not in (400, 401, 403, 404, 405):
                        found.append([port, method, path, error.code, error.read(200).decode("latin-1")])
                except (OSError, ValueError):
                    break
    for path in files:
        try:
            os.listdir(path) if os.path.isdir(path) else open(path, "rb").close()
            found.append(path)
        except OSError:
            pass
    print(json.dumps(found))
"""
PATHS = [
    ("GET", "/"), ("GET", "/dir/assign"), ("GET", "/dir/status"), ("GET", "/col/delete?collection=none"),
    ("GET", "/vol/status"), ("GET", "/buckets/semanir/"), ("PUT", "/buckets/semanir/intruder"),
    ("PUT", "/semanir/intruder"), ("GET", "/semanir/"), ("GET", "/api/2.0/mlflow/experiments/search?max_results=9"),
    ("POST", "/api/2.0/mlflow/experiments/create"), ("GET", "/api/2.0/mlflow-artifacts/artifacts/"),
    ("GET", "/ajax-api/2.0/mlflow/experiments/search?max_results=9"), ("GET", "/api/jobs/"), ("POST", "/api/jobs/"),
    ("GET", "/api/version"), ("GET", "/nodes?view=summary"), ("GET", "/logs/"), ("GET", "/api/v0/nodes"),
    ("POST", "/get_or_create_runtime_env"), ("GET", "/metrics"),
]  # fmt: skip
# Answers that hold nothing of anybody's: the dashboard's and MLflow's own pages of HTML, and signs of life.
HARMLESS_PATHS = {"/"}


def test_another_user_gets_no_answer_from_any_port_and_no_file(stack: Any) -> None:
    pids = {process.pid for part in PARTS for process in processes.find(stack.layout.folder, part)}
    sockets = [c for c in psutil.net_connections("inet") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    ports = sorted({connection.laddr.port for connection in sockets})
    assert len(ports) > 15
    layout = stack.layout
    files = [str(path) for path in (layout.env_file, layout.s3_data, layout.mlflow_data, layout.ray_data, layout.logs)]
    files += [f"{layout.short_path()}/ray", str(layout.short_path())]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROBE)], input=json.dumps([ports, PATHS, files]),
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    answered = [entry for entry in json.loads(done.stdout) if entry[2:3] and entry[2] not in HARMLESS_PATHS]
    assert [entry for entry in answered if isinstance(entry, list)] == []
    assert [entry for entry in json.loads(done.stdout) if isinstance(entry, str)] == []


def test_another_user_cannot_use_the_inner_protocol_of_the_store(stack: Any) -> None:
    ports = json.loads(stack.layout.ports_file.read_text())
    weed = next(p for p in processes.find(stack.layout.folder, "s3")).cmdline()[0]
    shell = [weed, "shell", f"-master=127.0.0.1:{ports['master']}.{ports['master_grpc']}"]
    try:
        done = subprocess.run(
            shell, input="s3.bucket.list\nexit\n", capture_output=True, text=True, timeout=20, check=False, cwd="/"
        )
        said = done.stdout
    except subprocess.TimeoutExpired as error:  # it goes on asking a master that does not answer it
        said = (error.stdout or b"").decode()
    assert "semanir" not in said


def test_another_user_cannot_join_the_cluster(stack: Any) -> None:
    script = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); import ray; ray.init('auto')"
    env = {name: value for name, value in stack.env.items() if not name.startswith("RAY_AUTH")} | {"HOME": "/tmp"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
