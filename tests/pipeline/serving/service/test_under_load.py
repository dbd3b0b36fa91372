"""What a service must stand, against real Ray Serve and a real MLflow server. Figures are printed: pytest -s."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import semanir
from pipeline import shipped
from pipeline.registry import ModelCard, register
from pipeline.registry.client import connect
from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import encode
from pipeline.tasks import TASKS
from tests.mlflow_server import mlflow_server
from tests.pipeline.held_out import held_out
from tests.pipeline.serving.service.conftest import picture
from tests.pipeline.serving.service.live import Got, Live, service

pytestmark = pytest.mark.slow
CLIENTS, SECONDS = 32, 60.0


class Clients:
    """Threads that ask again and again until they are told to stop."""

    def __init__(self, ask: Callable[[], Got], count: int) -> None:
        self._ask, self._stop = ask, threading.Event()
        self.replies: list[tuple[float, float, Got]] = []
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self) -> None:
        while not self._stop.is_set():
            started = time.perf_counter()
            try:
                got = self._ask()
            except OSError as error:
                self.failures.append(error)
                continue
            self.replies.append((started, time.perf_counter(), got))
            if got.status == 429:
                self._stop.wait(float(got.headers["retry-after"]))

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def statuses(self) -> Counter[int]:
        return Counter(got.status for _, _, got in self.replies)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 300.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.statuses(), self.failures[:3])
            self._stop.wait(0.05)


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Iterator[Live]:
    with service(str(tiny_model), "shipped:unified_color", "--replicas", "2", "--queue", "24") as running:
        yield running


def test_thirty_two_clients_for_a_minute(tiny: Live, tiny_model: Path) -> None:
    data = picture(side=96)
    expected = encode(Restorer(tiny_model, device="cpu").restore(read_picture(data)))
    started = time.perf_counter()
    with Clients(lambda: tiny.ask("POST", "/v1/restore/tiny", data), CLIENTS) as clients:
        clients.wait_for(lambda: time.perf_counter() - started > SECONDS)
    assert clients.failures == []
    assert set(clients.statuses()) <= {200, 429}
    good = [(end - start, got) for start, end, got in clients.replies if got.status == 200]
    assert good
    assert all(got.body == expected for _, got in good)
    times = sorted(seconds for seconds, _ in good)
    cuts = statistics.quantiles(times, n=20)
    pace = len(good) / (time.perf_counter() - started)
    sys.stdout.write(f"\n{CLIENTS} clients, {SECONDS:g} s, 96x96 PNG, tiny model, 2 replicas: {pace:.1f} images/s, p50 "
          f"{cuts[9]:.2f} s, p95 {cuts[18]:.2f} s, {clients.statuses()}")  # fmt: skip


def test_overhead_over_the_model_itself_at_512(tiny: Live) -> None:
    """In turns, so that both see the same machine; medians, as it may be busy."""
    smooth = np.kron(np.random.default_rng(0).integers(60, 200, (64, 64, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(smooth).save(file, "PNG")
    data = file.getvalue()
    restorer = Restorer(shipped.locate("shipped:unified_color"), device="cpu")
    network_input = restorer.prepare(read_picture(data)).network_input
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a replica of one CPU has
    try:
        ratios, direct_s, served_s = [], [], []
        for number in range(6):
            started = time.perf_counter()
            restorer.run(network_input)
            direct = time.perf_counter() - started
            started = time.perf_counter()
            got = tiny.ask("POST", "/v1/restore/unified_color", data)
            served = time.perf_counter() - started
            assert got.status == 200
            if number:  # the first of each warms up
                ratios.append(served / direct)
                direct_s.append(direct)
                served_s.append(served)
    finally:
        torch.set_num_threads(threads)
    sys.stdout.write(f"\n512²: alone {statistics.median(direct_s):.2f} s, served {statistics.median(served_s):.2f} s, "
          f"ratio {statistics.median(ratios):.3f}, all {[round(ratio, 3) for ratio in ratios]}")  # fmt: skip
    assert statistics.median(ratios) <= 1.10


def test_a_replica_killed_in_mid_request_costs_no_answer(tiny: Live) -> None:
    data = picture(side=700)  # several tiles: seconds of work
    expected = encode(Restorer(shipped.locate("shipped:unified_color"), device="cpu").restore(read_picture(data)))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(tiny.ask, "POST", "/v1/restore/unified_color", data, 500)
        deadline = time.monotonic() + 60
        busy = []
        while not busy:  # until one of them computes
            assert time.monotonic() < deadline
            before = {one.pid: one.cpu_times().user for one in tiny.replicas("unified_color")}
            time.sleep(0.2)
            busy = [
                one for one in tiny.replicas("unified_color") if one.cpu_times().user > before.get(one.pid, 1e9) + 0.01
            ]
        assert not asked.done()
        for one in tiny.replicas("unified_color"):
            one.kill()
        got = asked.result()
    assert (got.status, got.body == expected) == (200, True)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield address


def add_version(folder: Path, seed: int, psnr_db: float) -> str:
    """Registers random weights of that seed; returns the version's number. The better figure becomes champion."""
    task = TASKS["denoising_color"]
    torch.manual_seed(seed)
    model = semanir.create_model(
        task.tiny_model, in_channels=3, out_channels=3, embed_dim=8, num_heads=1, window_size=4, k=4,
        zero_init_last=False,
    )  # fmt: skip
    card = ModelCard(
        task=task.name, setting="sigma 25", trained_on="Nothing.", protocol="PSNR, RGB, on two images",
        baseline="input", scores=held_out(("a", 20.0, psnr_db), ("b", 20.0, psnr_db), baseline="input"), steps=1,
        data_fingerprint="d", git_commit="c", fingerprint=f"seed {seed}",
    )  # fmt: skip
    client = connect()
    found = client.get_experiment_by_name("serving")
    experiment = found.experiment_id if found else client.create_experiment("serving")
    run = str(client.create_run(experiment).info.run_id)
    return str(register(semanir.save(model, folder / f"weights-{seed}"), card, run_id=run).version)


def test_an_alias_that_moves_under_load_and_a_version_that_was_altered(registry: str, tmp_path: Path) -> None:
    del registry
    name = "semanir-denoising-color"
    data = picture(side=40)
    first = add_version(tmp_path, 1, 25.0)
    with service("denoising_color", "--replicas", "2", "--follow-every", "0.5") as live:
        ask = lambda: live.ask("POST", "/v1/restore/denoising_color", data)  # noqa: E731
        with Clients(ask, 6) as clients:
            clients.wait_for(lambda: len(clients.replies) > 20)
            second = add_version(tmp_path, 2, 26.0)  # better: the alias moves by itself
            clients.wait_for(lambda: any(got.headers["semanir-version"] == second for *_, got in clients.replies))
            seen = len(clients.replies)
            clients.wait_for(lambda: len(clients.replies) > seen + 30)

            third = add_version(tmp_path, 3, 24.0)  # worse: a challenger, nobody serves it yet
            (weights,) = [
                path
                for path in (tmp_path / "server/files").rglob("model.safetensors")
                if path.read_bytes() == (tmp_path / "weights-3/model.safetensors").read_bytes()
            ]
            content = bytearray(weights.read_bytes())
            content[-1] ^= 1
            weights.write_bytes(content)
            connect().set_registered_model_alias(name, "champion", third)
            problem = lambda: live.ask("GET", "/v1/models").json["models"][0]["problem"]  # noqa: E731
            clients.wait_for(lambda: "altered" in problem())
            seen = len(clients.replies)
            clients.wait_for(lambda: len(clients.replies) > seen + 30)
            back = time.perf_counter()
            connect().set_registered_model_alias(name, "champion", first)
            clients.wait_for(lambda: clients.replies[-1][2].headers["semanir-version"] == first)
    assert clients.failures == []
    assert set(clients.statuses()) == {200}
    told = sorted((start, end, got.headers["semanir-version"]) for start, end, got in clients.replies)
    assert {version for *_, version in told} == {first, second}
    # Each takes over once: who asks after the first answer of a version is never told the one before.
    for version, since, until in ((second, 0.0, back), (first, back, told[-1][0] + 1)):
        over = min(end for start, end, one in told if one == version and start >= since)
        assert {one for start, _, one in told if over < start < until} == {version}
    sys.stdout.write(
        f"\n{len(told)} requests while the alias moved twice and once to an altered version: none failed\n"
    )
    for version, seed in ((first, 1), (second, 2)):
        restorer = Restorer(tmp_path / f"weights-{seed}", device="cpu")
        expected = encode(restorer.restore(read_picture(data)))
        assert {got.body for *_, got in clients.replies if got.headers["semanir-version"] == version} == {expected}
