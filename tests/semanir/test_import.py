"""`import semanir` and a forward pass touch nothing beyond torch."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ray", "mlflow", "deepspeed", "boto3", "pyarrow", "webdataset", "pydantic",
                                  "safetensors", "PIL", "scipy", "skimage", "pipeline"}:
            raise ImportError(f"semanir alone must not import {name}")
sys.meta_path.insert(0, Refuse())
import torch, semanir
out = semanir.create_model("columnar_tiny")(torch.rand(1, 3, 6, 5))
assert out.shape == (1, 3, 12, 10)
"""


def test_needs_only_torch() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
