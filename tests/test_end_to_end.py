"""From photographs to a registered model and back to a restored picture, on the real servers."""

from __future__ import annotations

import json
import sys
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from skimage import data


def test_job_shows_progress_figures_and_version(trained: str) -> None:
    assert "/30" in trained
    assert "semanir-denoising-color v1 @champion" in trained
    assert "Traceback" not in trained
    assert "Warning" not in trained
    for image in ("rocket", "chelsea", "coffee"):
        assert image in trained


def test_registered_model_restores_a_photograph_in_another_process(stack: Any, trained: str, tmp_path: Path) -> None:
    clean = data.rocket()[100:260, 200:401]  # 160 x 201: neither side a multiple of the window
    noise = np.random.default_rng(0).normal(0, 25, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "noisy.png")
    restored = stack.run(
        [sys.executable, "jobs/restore.py", "models:/semanir-denoising-color@champion", str(tmp_path / "noisy.png"),
         "--output", str(tmp_path / "restored")],
    )  # fmt: skip
    assert restored.returncode == 0, restored.stdout + restored.stderr
    (written,) = (tmp_path / "restored").iterdir()
    result = np.asarray(Image.open(written))
    assert result.shape == clean.shape

    def error(image: np.ndarray) -> float:
        return float(np.mean((image.astype(float) - clean) ** 2))

    assert error(result) < 0.6 * error(noisy)


@pytest.mark.slow
def test_the_same_command_again_trains_nothing(stack: Any, trained: str) -> None:
    again = stack.submit_training()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "registered before as semanir-denoising-color v" in again.stdout
    assert "training" not in again.stdout.split("Running entrypoint")[1].split("\n", 1)[1]


@pytest.mark.slow
def test_bad_input_is_one_line_before_any_worker(stack: Any, trained: str) -> None:
    job = stack.submit_training("--set", "data.train=s3://semanir/datasets/nothing")
    assert job.returncode != 0
    assert "error:" in job.stdout + job.stderr
    assert "s3://semanir/datasets/nothing" in job.stdout + job.stderr
    assert "Traceback" not in job.stdout


def test_no_secret_is_anywhere_a_person_may_look(stack: Any, trained: str) -> None:
    token = Path(stack.env["RAY_AUTH_TOKEN_PATH"]).read_text().strip()
    secrets = [stack.env["AWS_SECRET_ACCESS_KEY"], stack.env["MLFLOW_TRACKING_PASSWORD"], token]
    places = {
        "the job's output": trained,
        "process list": "\n".join(" ".join(arguments(process)) for process in psutil.process_iter()),
        "Ray's job API": ask(f"{stack.env['RAY_API_SERVER_ADDRESS']}/api/jobs/", f"Bearer {token}"),
        "MLflow's runs": runs_of(stack, "semanir"),
    }
    assert "denoising_color" in places["MLflow's runs"]
    assert "train_all_tasks" in places["Ray's job API"]
    for log in stack.layout.folder.rglob("*.log"):
        places[str(log)] = log.read_text(errors="replace")
    for place, text in places.items():
        assert not any(secret in text for secret in secrets), f"a secret is in {place}"


def runs_of(stack: Any, experiment: str) -> str:
    """What MLflow tells of an experiment's runs: parameters, tags, figures."""
    api = f"{stack.env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow"
    login = f"{stack.env['MLFLOW_TRACKING_USERNAME']}:{stack.env['MLFLOW_TRACKING_PASSWORD']}"
    basic = f"Basic {b64encode(login.encode()).decode()}"
    found = json.loads(ask(f"{api}/experiments/get-by-name?experiment_name={experiment}", basic))
    body = {"experiment_ids": [found["experiment"]["experiment_id"]], "max_results": 100}
    return ask(f"{api}/runs/search", basic, body)


def arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def ask(url: str, authorization: str, body: dict[str, Any] | None = None) -> str:
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": authorization, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()
