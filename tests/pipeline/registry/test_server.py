"""What needs a real MLflow server: registrations that race, and loading in another process over HTTP."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch

import semanir
from pipeline.degradations.bayer import demosaic_malvar
from pipeline.errors import UserError
from pipeline.registry import ModelCard, Registered, check_tracking_server, pull, register
from pipeline.registry.client import connect
from pipeline.registry.promotion import METRIC_TAG
from pipeline.registry.versions import all_versions

Weights = Callable[..., Path]
Card = Callable[..., ModelCard]


@pytest.fixture
def server(stack: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    uri: str = stack.env["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return uri


def new_run() -> str:
    client = connect()
    found = client.get_experiment_by_name("registry-tests")
    experiment = found.experiment_id if found else client.create_experiment("registry-tests")
    return str(client.create_run(experiment).info.run_id)


@pytest.mark.slow
def test_racing_registrations_lose_no_version_and_settle_on_the_best(
    server: str, weights: Weights, make_card: Card
) -> None:
    del server
    figures = [24.0, 27.0, 25.0, 26.0]
    folders = [weights("deblurring", seed) for seed in range(len(figures))]
    runs = [new_run() for _ in figures]

    def add(index: int) -> Registered:
        return register(folders[index], make_card("deblurring", restored=figures[index]), run_id=runs[index])

    with ThreadPoolExecutor(len(figures)) as pool:
        registered = list(pool.map(add, range(len(figures))))

    client = connect()
    name = registered[0].name
    assert sorted(r.version for r in registered) == [1, 2, 3, 4]
    tags = {int(v.version): float(v.tags[METRIC_TAG]) for v in all_versions(client, name)}
    assert tags == {r.version: psnr for r, psnr in zip(registered, figures, strict=True)}
    assert int(client.get_registered_model(name).aliases["champion"]) == registered[1].version
    for one, folder in zip(registered, folders, strict=True):  # no thread registered another's weights
        pulled = (pull(one.uri) / "model.safetensors").read_bytes()
        assert pulled == (folder / "model.safetensors").read_bytes()
    champion, best = semanir.load(f"models:/{name}@champion").state_dict(), semanir.load(folders[1]).state_dict()
    assert champion.keys() == best.keys()
    assert all(torch.equal(champion[key], best[key]) for key in best)


def test_another_process_loads_the_carried_code_whatever_is_installed(
    server: str, weights: Weights, make_card: Card, tmp_path: Path
) -> None:
    folder = weights("demosaicking")
    registered = register(folder, make_card("demosaicking"), run_id=new_run())
    rng = np.random.default_rng(0)
    mosaic = rng.integers(0, 256, (1, 37, 30, 1), dtype=np.uint8)
    np.save(tmp_path / "mosaic.npy", mosaic)
    # Packages of our names that are found first, are imported already, and compute nothing.
    for package in ("semanir", "pipeline"):
        (tmp_path / "installed" / package).mkdir(parents=True)
        (tmp_path / "installed" / package / "__init__.py").write_text("load = None\n")
    script = f"""
        import semanir, pipeline, mlflow, numpy as np
        assert semanir.load is None
        model = mlflow.pyfunc.load_model("models:/{registered.name}@champion")
        mosaic = np.load("mosaic.npy")
        np.save("whole.npy", model.predict(mosaic))
        np.save("few.npy", model.predict(mosaic, params={{"k": 2}}))
        np.save("tiled.npy", model.predict(np.repeat(mosaic, 3, axis=3), params={{"tile": 32, "overlap": 0}}))
        for wrong in (mosaic / 255, (mosaic / 255).astype(np.uint8), mosaic[0], np.repeat(mosaic, 2, axis=3)):
            try:
                model.predict(wrong)
            except Exception as error:
                print(type(error).__name__, str(error).splitlines()[0])
            else:
                raise SystemExit("accepted")
        import sys
        assert sys.modules["semanir"].load is None
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": server,
            "PYTHONPATH": str(tmp_path / "installed"),
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = semanir.load(folder)
    lq = demosaic_malvar(mosaic[0].astype(np.float32) / 255)
    x = torch.from_numpy(lq.transpose(2, 0, 1).copy())[None]
    for name, k in (("whole", None), ("few", 2)):
        with torch.inference_mode():
            expected = model(x, k=k)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy")[0], expected)
    assert np.load(tmp_path / "tiled.npy").shape == (1, 37, 30, 3)


def test_a_server_that_does_not_answer_is_reported_without_its_password() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = held.getsockname()[1]
        with pytest.raises(UserError, match=f"no MLflow server answers at http://127.0.0.1:{port}") as caught:
            check_tracking_server(f"http://me:secret@127.0.0.1:{port}")
    assert "secret" not in str(caught.value)


def test_without_a_tracking_uri_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI is not set"):
        pull("models:/semanir-jpeg-gray@champion")


def test_the_page_of_a_version_shows_a_picture_of_its_run(
    server: str, stack: Any, weights: Weights, make_card: Card
) -> None:
    run_id, client = new_run(), connect()
    client.log_text(run_id, "a picture", "a b.png")
    registered = register(weights("jpeg_gray", 3), make_card("jpeg_gray"), run_id=run_id, picture="a b.png")
    description = client.get_model_version(registered.name, str(registered.version)).description
    (address,) = re.findall(r"!\[bad, the image that gained least\]\((.*)\)\n", description)
    login = stack.env["MLFLOW_TRACKING_USERNAME"], stack.env["MLFLOW_TRACKING_PASSWORD"]
    answer = requests.get(f"{server}/{address}", auth=login, timeout=60)
    assert answer.content == b"a picture"
