"""A stranger's machine: a new virtual environment with nothing but what the registered model lists."""

from __future__ import annotations

import os
import subprocess
import textwrap
import venv
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

import semanir
from pipeline.registry import ModelCard, register
from pipeline.registry.logged_model import requirements


@pytest.mark.slow
def test_the_listed_requirements_suffice(
    weights: Callable[..., Path],
    make_card: Callable[..., ModelCard],
    new_run: Callable[[], str],
    tracking: Path,
    tmp_path: Path,
) -> None:
    folder = weights("demosaicking", 3)
    registered = register(folder, make_card("demosaicking", restored=77.0), run_id=new_run())
    listed = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{registered.uri}/requirements.txt"))
    assert listed.read_text().split() == requirements()
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", str(listed)], check=True)

    image = np.random.default_rng(0).integers(0, 256, (1, 29, 34, 3), dtype=np.uint8)
    np.save(tmp_path / "image.npy", image)
    script = f"""
        import mlflow, numpy as np
        model = mlflow.pyfunc.load_model("{registered.uri}")
        np.save("restored.npy", model.predict(np.load("image.npy"), params={{"k": 3}}))
        np.save("mosaic.npy", model.predict(np.load("image.npy")[..., :1]))
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([python, "-c", textwrap.dedent(script)], cwd=tmp_path, env=environment, check=True)

    x = torch.from_numpy(image.astype(np.float32).transpose(0, 3, 1, 2) / 255)
    with torch.inference_mode():
        expected = semanir.load(folder)(x, k=3).clamp(0, 1).mul(255).round().byte()
    difference = np.load(tmp_path / "restored.npy").astype(int) - expected.permute(0, 2, 3, 1).numpy()
    assert np.abs(difference).max() <= 1  # another build of torch may round differently
    assert np.load(tmp_path / "mosaic.npy").shape == (1, 29, 34, 3)
