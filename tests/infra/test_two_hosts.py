"""Training over a network: a head, three workers and the servers on hosts of their own, and a cable that is cut.

Training takes minutes there, most of them Ray's own patience. That hosts find each other, see the servers and refuse
strangers stays among the fast tests, as do killed workers and Ray's elastic policy on one host.

Every node sees the third-party packages, and of this project only what `ray job submit --working-dir` brought.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from skimage import data

from infra.local import processes
from infra.local.folders import BUCKET, PROJECT_ROOT, write_private
from pipeline.config import read_config, resolve
from tests.infra.network import Host, Network, why_impossible
from tests.infra.ray_nodes import CODE, PATIENCE_S, RayNodes
from tests.infra.services import BIN, Services, plain_environ

STEPS, CHECKPOINT_EVERY, BATCH = 60, 15, 4
SHARDS = f"s3://{BUCKET}/datasets/crops"
CONFIG = f"""
defaults:
  storage: s3://{BUCKET}/runs
  data: {{train: {SHARDS}/train, val: {SHARDS}/train, patch_size: 32, block_size: 4}}
  model: {{name: ushape_tiny}}
  training: {{steps: {STEPS}, global_batch_size: {BATCH}, num_workers: 2, zero_stage: 1, learning_rate: 2e-3,
             loss: pseudo_huber, log_every: 1, validate_every: {STEPS}, checkpoint_every: {CHECKPOINT_EVERY},
             collective_timeout_s: 20}}
"""
TRAIN = ["python", "jobs/train_all_tasks.py", "--tasks", "denoising_color", "--config", "two_hosts.yaml"]

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's checkout, with a configuration and a few small pictures of theirs."""
    folder = tmp_path_factory.mktemp("laptop") / "project"
    for name in CODE:
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "two_hosts.yaml").write_text(CONFIG)
    (folder / "pictures").mkdir()
    for number in range(8):
        top, left = 96 * (number // 4), 96 * (number % 4)
        crop = Image.fromarray(data.astronaut()[top : top + 96, left : left + 96])
        crop.save(folder / "pictures" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def nodes(
    network: Network | None, services: Services, laptop: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RayNodes]:
    """A head and a worker of one CPU, and the shards packed from the laptop meanwhile; hosts of two more workers."""
    if network is None:
        pytest.skip(why_impossible() or "no network")
    # Ray's sockets lie in these folders, and a socket's path has at most 107 bytes.
    folder = Path(f"/tmp/smr{tmp_path_factory.getbasetemp().stat().st_ino}")
    folder.mkdir()
    hosts = [network.add(name) for name in ("head", "w1", "w2", "w3")]
    made = RayNodes(network, services, folder, hosts[0], hosts[1:])
    write_private(folder / "token", secrets.token_hex(32))
    try:
        made.start_head()
        made.start_worker(made.workers[0])
        packed = subprocess.run(
            [str(BIN / "python"), "jobs/prepare_data.py", "pictures", "--output", SHARDS],
            env=plain_environ() | services.s3_environ("prepare") | {"no_proxy": "*"},
            cwd=laptop, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert packed.returncode == 0, packed.stdout + packed.stderr
        made.until_all_live()
        yield made
    finally:
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(lambda host: processes.end(folder, host.name), hosts))
        shutil.rmtree(folder, ignore_errors=True)


def until(what: str, condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.5)


def logged_losses(services: Services) -> dict[int, list[float]]:
    """The losses of each step; more than one where a step was trained again after the cut."""
    runs = services.ask_mlflow("runs/search", "admin", {"experiment_ids": ["1"], "max_results": 2}).get("runs", [])
    steps: dict[int, list[float]] = {}
    for run in runs:
        query = f"metrics/get-history?run_id={run['info']['run_id']}&metric_key=loss&max_results=1000"
        for metric in services.ask_mlflow(query, "admin").get("metrics", []):
            steps.setdefault(metric["step"], []).append(metric["value"])
    return steps


def losses_without_ray(services: Services, laptop: Path, folder: Path) -> dict[int, float]:
    """The same training by two plain processes on this host, which nothing interrupts."""
    config = resolve(read_config(laptop / "two_hosts.yaml"), "denoising_color")
    job = {"kind": "loop", "world_size": 2, "folder": str(folder), "config": config.model_dump_json()}
    (folder / "job.json").write_text(json.dumps(job))
    env = plain_environ() | services.s3_environ("train") | {"no_proxy": "*"}
    command = [str(BIN / "python"), str(PROJECT_ROOT / "tests/pipeline/training/plain_worker.py")]
    with (folder / "log").open("wb") as log:
        ranks = [
            subprocess.Popen([*command, str(folder / "job.json"), rank], env=env, stdout=log, stderr=log)
            for rank in ("0", "1")
        ]
        codes = [rank.wait(PATIENCE_S) for rank in ranks]
    assert codes == [0, 0], (folder / "log").read_text()
    logged = json.loads((folder / "result.0.json").read_text())["logged"]
    return {step: metrics["loss"] for step, metrics in logged if "loss" in metrics}


def final_positions(services: Services) -> list[int]:
    """How many samples the finished run has trained on, by its last checkpoint."""
    s3 = services.s3("admin")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="runs/")["Contents"]]
    states = [json.load(s3.get_object(Bucket=BUCKET, Key=k)["Body"]) for k in keys if k.endswith("/state.json")]
    return [state["position"] for state in states if state["step"] == STEPS]


def moved(nodes: RayNodes, lost: Host, before: set[str]) -> set[str]:
    """The hosts that train now, once they are others than before."""
    now = nodes.hosts_of_workers() - {lost.name}
    return now if len(now) == 2 and now != before else set()


def test_a_worker_on_another_host_joins(nodes: RayNodes) -> None:
    """Comes first: the next test may lose this very host."""
    assert {nodes.head.address, nodes.workers[0].address} <= nodes.living()


def test_a_cut_cable_costs_no_sample(nodes: RayNodes, services: Services, laptop: Path, tmp_path: Path) -> None:
    for host in nodes.workers[1:]:
        nodes.start_worker(host)
    nodes.until_all_live()
    job = nodes.submit(laptop, TRAIN)
    job.until("steps after a checkpoint", lambda: max(logged_losses(services), default=0) > CHECKPOINT_EVERY + 1)
    before = nodes.hosts_of_workers()
    assert len(before) == 2, before
    lost = next(host for host in nodes.workers if host.name in before)
    nodes.network.cut(lost)
    job.until("workers on the hosts that are left", lambda: moved(nodes, lost, before))
    # Too late to help the run; the lost node learns that it was given up, and ends.
    nodes.network.mend(lost)
    job.until("figures for Prometheus", lambda: "ray_semanir_samples_per_second{" in nodes.metrics())
    assert "semanir-denoising-color v1 @champion" in job.finish()

    logged, whole = logged_losses(services), losses_without_ray(services, laptop, tmp_path)
    assert set(logged) == set(whole) == set(range(1, STEPS + 1))
    for step, losses in logged.items():
        assert losses == pytest.approx([whole[step]] * len(losses), rel=1e-4), step
    assert final_positions(services) == [STEPS * BATCH]

    until("the lost node's own end", lambda: not processes.find(nodes.folder, lost.name))
    until("the end of all training workers", lambda: not nodes.hosts_of_workers())


def test_a_client_without_the_token_is_refused_over_the_network(nodes: RayNodes) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refusal:
        opener.open(f"{nodes.environ['RAY_API_SERVER_ADDRESS']}/api/jobs/", timeout=10)
    assert refusal.value.code in {401, 403}
