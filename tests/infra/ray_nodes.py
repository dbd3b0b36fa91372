"""Ray on hosts of a test network, and jobs that are submitted to it from beside."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.local import processes
from infra.local.folders import PROJECT_ROOT
from infra.local.ray_head import PATIENCE
from tests.infra.network import INTERFACE, Host, Network
from tests.infra.services import BIN, Services, plain_environ, start

CODE = ("semanir", "pipeline", "jobs", "infra")
METRICS_PORT = 8080
PATIENCE_S = 300  # for each thing that is waited for, on a busy machine
# Ray's defaults find a lost node in about a minute; see infra/OPERATIONS.md.
LOST_NODE = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",
}


@dataclass(frozen=True)
class Job:
    """A submission, followed by `ray job submit` until its end."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, what: str, condition: Callable[[], Any]) -> None:
        """Wait for the condition; the job must not end before, nor take minutes for it."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"{what}: the job ended before\n{self.output}"
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S} s\n{self.output}"
            time.sleep(0.5)

    def finish(self) -> str:
        """Its output, once it has succeeded."""
        self.process.wait(PATIENCE_S)
        assert self.process.returncode == 0, self.output
        return self.output


@dataclass
class RayNodes:
    """Ray on the hosts; its jobs are submitted from this namespace, which is a machine beside them."""

    network: Network
    services: Services
    folder: Path
    head: Host
    workers: list[Host] = field(default_factory=list)
    _starting: dict[str, tuple[Host, tuple[str, ...], subprocess.Popen[bytes]]] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """What a person on another machine has: an address and the token."""
        return plain_environ() | {
            "RAY_API_SERVER_ADDRESS": f"http://{self.head.address}:8265",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "no_proxy": "*",
        }

    def start_head(self) -> None:
        ports = ("--port=6379", f"--metrics-export-port={METRICS_PORT}")
        self._start(self.head, "--head", "--num-cpus=0", f"--dashboard-host={self.head.address}", *ports)

    def start_worker(self, host: Host) -> None:
        self._start(host, f"--address={self.head.address}:6379", "--num-cpus=1")

    def until_all_live(self) -> None:
        """Wait for the head and every worker that was started; one that ended is started again, as by a supervisor.

        `ray start` gives up after 30 s by a constant of its own, which a busy machine exceeds.
        """
        deadline = time.monotonic() + PATIENCE_S
        while len(self.living()) < len(self._starting):
            for host, arguments, process in list(self._starting.values()):
                if process.poll() is not None:
                    processes.end(self.folder, host.name)
                    self._start(host, *arguments)
            assert time.monotonic() < deadline, f"not all nodes live within {PATIENCE_S} s\n{self._ends_of_logs()}"
            time.sleep(0.5)

    def _ends_of_logs(self) -> str:
        ends = {name: (self.folder / f"{name}.log").read_text(errors="replace")[-1500:] for name in self._starting}
        return "\n".join(f"{name}:\n{end}" for name, end in ends.items())

    def _start(self, host: Host, *arguments: str) -> None:
        folder = self.folder / host.name
        folder.mkdir(exist_ok=True)
        node = [
            *(str(BIN / "ray"), "start", "--block", f"--node-ip-address={host.address}", f"--temp-dir={folder}"),
            *("--object-store-memory=100000000", "--disable-usage-stats", "--log-color=false", *arguments),
        ]
        env = (
            self.environ
            | PATIENCE
            | self.services.s3_environ("train")
            | self.services.mlflow_environ("trainer")
            | LOST_NODE
        )
        # gloo would look for the interface behind the host's name, which all hosts here share.
        env |= {"GLOO_SOCKET_IFNAME": INTERFACE, "DS_ACCELERATOR": "cpu"}
        env |= {"SPT_NOENV": "1"}  # workers change their title; it must not overwrite the mark that finds them
        command = host.without_folders([PROJECT_ROOT / name for name in CODE], node)
        self._starting[host.name] = host, arguments, start(self.folder, host.name, command, env)

    def submit(self, working_dir: Path, command: Sequence[str]) -> Job:
        log = self.folder / f"job{len(list(self.folder.glob('job*.log')))}.log"
        argv = [str(BIN / "ray"), "job", "submit", "--working-dir", str(working_dir), "--", *command]
        with log.open("wb") as output:
            process = subprocess.Popen(argv, env=self.environ, cwd="/", stdout=output, stderr=subprocess.STDOUT)
        return Job(process, log)

    def living(self) -> set[str]:
        """Addresses of the nodes that the head counts as alive; none while it does not answer."""
        request = urllib.request.Request(
            f"{self.environ['RAY_API_SERVER_ADDRESS']}/api/v0/nodes",
            headers={"Authorization": f"Bearer {(self.folder / 'token').read_text()}"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
        except OSError:
            return set()
        return {node["node_ip"] for node in nodes if node["state"] == "ALIVE"}

    def metrics(self) -> str:
        """What Prometheus would scrape from the head now; nothing while it does not answer."""
        url = f"http://{self.head.address}:{METRICS_PORT}/metrics"
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def hosts_of_workers(self) -> set[str]:
        """Hosts on which training workers run now."""
        return {host for pid in _training_workers() if (host := self.network.host_of(pid))}


def _training_workers() -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()[:1]):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
