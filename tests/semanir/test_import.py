"""`import semanir` and a forward pass touch nothing beyond torch."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_REFUSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ray", "mlflow", "deepspeed", "boto3", "pyarrow", "webdataset", "pydantic",
                                  "safetensors", "PIL", "scipy", "skimage", "pipeline"}:
            raise ModuleNotFoundError(f"semanir alone must not import {name}", name=name)
sys.meta_path.insert(0, Refuse())
sys.modules["triton"] = sys.modules["numpy"] = None  # as if not installed
"""
_USE = """
import torch, semanir
model = semanir.create_model("columnar_tiny")
out = model(torch.rand(1, 3, 6, 5))
assert out.shape == (1, 3, 12, 10)
out.mean().backward()
"""


def test_needs_only_torch() -> None:
    done = subprocess.run([sys.executable, "-c", _REFUSE + _USE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_fresh_environment_with_torch_alone(tmp_path: Path) -> None:
    """A virtual environment that holds PyTorch and its own requirements: no Ray, MLflow, DeepSpeed, NumPy or Triton."""
    import torch

    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    version = torch.__version__.split("+")[0]
    subprocess.run([python, "-m", "pip", "install", "-q", f"torch=={version}"], check=True, timeout=1200)
    check = (
        _USE
        + """
import importlib.util
for name in ("ray", "mlflow", "deepspeed", "pydantic", "safetensors"):
    assert importlib.util.find_spec(name) is None, name
try:
    semanir.ops.key_semantic_attention(*torch.rand(3, 1, 1, 4, 2), torch.ones(1, 4, 1, dtype=torch.int32),
                                       scale=torch.ones(1), bias=torch.zeros(1, 4, 4), backend="triton")
except RuntimeError as error:
    print(error)
else:
    raise AssertionError("the triton backend ran")
"""
    )
    done = subprocess.run([python, "-c", check], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "attention backend 'triton' cannot run" in done.stdout
