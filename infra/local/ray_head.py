"""The Ray head: a cluster of one machine that runs the jobs."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from infra.local import jobs
from infra.local.folders import Layout
from infra.local.part import Part, get
from infra.local.ports import Ports

# A run starts two workers unless told otherwise, each with a CPU of its own; a machine with one core lends it twice.
MIN_CPUS = 2
# The pipeline streams its data; the object store only carries small results.
OBJECT_STORE_BYTES = 512 << 20
_SESSIONS_KEPT = 3
# What Ray waits for its own parts while it starts; its defaults of 30 and 60 s are too short for two cores under load.
PATIENCE = {"RAY_gcs_server_port_wait_time_s": "170", "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "170"}
# It waits 30 s for its own raylet, by a constant without a setting.
_GIVES_UP = "The current node timed out during startup"
# Only there to be a setting: after an upgrade, clients of the new version need a new head.
_VERSION = "SEMANIR_STACK_RAY_VERSION"
# Three ports serve figures for Prometheus to anyone who asks, token or not: the user must ask for them. Two have no
# switch, and stay shut when they cannot be opened, of which Ray tells its log.
_NO_FIGURES = {"RAY_enable_metrics_collection": "0", "DASHBOARD_METRIC_PORT": "-1", "AUTOSCALER_METRIC_PORT": "-1"}


def part(layout: Layout, ports: Ports, environ: Mapping[str, str]) -> Part:
    """The Ray head. Its workers inherit `environ`: the job API never shows it, unlike a runtime_env."""
    import joblib  # here, since it takes half a second that `down` and `status` need not wait

    argv = [
        *(_python(layout), "-m", "ray.scripts.scripts"),
        "start",
        "--head",
        "--block",  # `ray start` stays: ending it ends all the processes that it started
        "--node-ip-address=127.0.0.1",
        f"--port={ports['gcs']}",
        f"--object-manager-port={ports['object_manager']}",
        f"--node-manager-port={ports['node_manager']}",
        f"--ray-client-server-port={ports['client_server']}",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={ports['dashboard']}",
        f"--dashboard-agent-listen-port={ports['agent_http']}",
        f"--dashboard-agent-grpc-port={ports['agent_grpc']}",
        f"--runtime-env-agent-port={ports['runtime_env_agent']}",
        f"--metrics-export-port={ports['metrics']}",
        f"--num-cpus={max(MIN_CPUS, joblib.cpu_count())}",  # counts what a container allows
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={layout.short_path() / 'ray'}",
        "--disable-usage-stats",
        "--log-color=false",
    ]
    env = {
        **environ,
        _VERSION: metadata.version("ray"),
        **{name: environ.get(name, default) for name, default in {**_NO_FIGURES, **PATIENCE}.items()},
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # there is no other node that jobs could move to
        "SPT_NOENV": "1",  # workers change their title; it must not overwrite the mark of the stack
    }
    env.pop("RAY_ADDRESS")  # the head is about to become that address
    return Part(
        name="ray",
        title="Ray",
        address=environ["RAY_API_SERVER_ADDRESS"],
        argv=argv,
        env=env,
        settings=[n for n in env if n.startswith(("AWS_", "MLFLOW_", "RAY_", "DS_", "CUDA_", _VERSION))],
        is_up=lambda: _is_up(layout, ports),
        gives_up=_GIVES_UP,
    )


def _python(layout: Layout) -> str:
    """This Python, by a name that a shell takes as one word.

    Ray starts its client server as a line for a shell, with the interpreter's path unquoted: a space in it would end
    the head a second after it came up. The way around leads through the stack's short name.
    """
    if shlex.quote(sys.executable) == sys.executable:
        return sys.executable
    link = layout.folder / "venv"
    if not (link.is_symlink() and link.readlink() == Path(sys.prefix)):
        link.unlink(missing_ok=True)
        link.symlink_to(sys.prefix)
    return str(layout.short_path() / "venv" / "bin" / Path(sys.executable).name)


def _is_up(layout: Layout, ports: Ports) -> bool:
    """Whether a job can be submitted: the job server accepts our token, and the node's agent answers."""
    agent = f"http://127.0.0.1:{ports['agent_http']}/api/local_raylet_healthz"
    return jobs.listed(layout, ports) is not None and get(agent) is not None


def forget_old_sessions(layout: Layout) -> None:
    """Keep the logs of the last sessions only: each start of Ray makes a folder of its own."""
    sessions = [path for path in layout.ray_data.glob("session_2*") if path.is_dir() and not path.is_symlink()]
    for path in sorted(sessions, key=os.path.getmtime)[:-_SESSIONS_KEPT]:
        shutil.rmtree(path, ignore_errors=True)
