"""`pip install .` restores images: what only `pip install '.[train]'` brings is never imported on that way."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image

import semanir
from pipeline.commands.door import TRAIN_ONLY, VIDEO_ONLY

ROOT = Path(__file__).resolve().parents[3]
# Distribution -> what it is imported as, where the names differ.
IMPORTED_AS = {
    "scikit-image": {"skimage"},
    "scikit-learn": {"sklearn"},
    "PyWavelets": {"pywt"},
    "boto3": {"boto3", "botocore"},
}

_REFUSE = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TRAIN_ONLY | VIDEO_ONLY!r}:
            raise ModuleNotFoundError(f"the inference install has no {{name}}", name=name)
sys.meta_path.insert(0, Refuse())
"""
_RESTORE = "from pipeline.commands.main import main; sys.exit(main(sys.argv[1:]))"


def extras() -> dict[str, set[str]]:
    """Import names of what each extra of pyproject.toml brings, under "" of the plain install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    names: dict[str, set[str]] = {}
    for group, lines in groups.items():
        distributions = [Requirement(line).name for line in lines]
        names[group] = set().union(*(IMPORTED_AS.get(name, {name}) for name in distributions))
    return names


def test_the_list_of_what_training_brings_is_pyproject_s() -> None:
    assert extras()["train"] == TRAIN_ONLY
    assert not extras()[""] & TRAIN_ONLY


@pytest.mark.slow
def test_a_video_without_pyav_says_what_to_install(model: Path, tmp_path: Path) -> None:
    assert extras()["video"] == VIDEO_ONLY
    (tmp_path / "clip.mp4").touch()
    command = [sys.executable, "-c", _REFUSE + _RESTORE, "restore", str(model), "clip.mp4"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: this needs the package av: pip install 'semanir-on-ray[video]'\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return semanir.save(semanir.create_model("ushape_tiny", zero_init_last=False), tmp_path / "model")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    for name in ("a.png", "b.jpg", "c.tif", "d.webp"):
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_restoring_with_a_local_model_takes_no_training_package(model: Path, images: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _REFUSE + _RESTORE, "restore", str(model), str(images), "--output", "out"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg", "c.tif", "d.webp"]

    command[3:] = ["models", "list"]
    environ["MLFLOW_TRACKING_URI"] = "sqlite:///none.db"
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: this needs the package mlflow: pip install 'semanir-on-ray[train]'\n"


@pytest.mark.slow
def test_a_fresh_environment_with_the_plain_install(model: Path, images: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    pip = [str(binaries / "python"), "-m", "pip", "install", "-q", "-c", "constraints.txt", "."]
    subprocess.run(pip, cwd=ROOT, check=True, timeout=1200)
    find = "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    found = subprocess.run([binaries / "python", "-c", find, *TRAIN_ONLY], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    command = [binaries / "semanir", "restore", model, images, "--output", tmp_path / "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 4
