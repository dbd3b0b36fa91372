"""The pyfunc of every registered model ("models from code"): uint8 images in, uint8 images out.

Needs only mlflow, torch, numpy and safetensors; the model's own code travels in the ``model`` artifact.
Loading checks the digest of every file and that the model reproduces its probe, and fails otherwise.

    model = mlflow.pyfunc.load_model("models:/semanir-denoising-color@champion")
    restored = model.predict(images, params={"k": 32, "tile": 256})     # images: uint8, (N, H, W, C)

``load_model(…, model_config={"device": "cuda"})`` picks the device; "auto" (the default) takes a GPU when
there is one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel


def _carried_module(code: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_served_{name}", code / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{code / name}.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ServedModel(PythonModel):
    """One SemanIR model behind MLflow's pyfunc interface."""

    def load_context(self, context: Any) -> None:
        import torch

        folder = Path(context.artifacts["model"])
        code = folder / "code"
        sealed = _carried_module(code, "sealed")
        sealed.verify_digests(folder)
        carried = _carried_module(code, "carried_code")
        semanir = carried.import_carried(code, "semanir")
        self.task = sealed.read_task(folder)
        model = semanir.load(folder).eval()
        sealed.check_probe(model, folder)
        device = (context.model_config or {}).get("device", "auto")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.restore_tiled = semanir.restore_tiled
        self.to_input: Callable[[np.ndarray], np.ndarray] | None = None
        if self.task["to_input"] is not None:
            module = carried.import_carried(code, self.task["to_input"]["module"])
            self.to_input = getattr(module, self.task["to_input"]["function"])

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """uint8 (N, H, W, C) to uint8 (N, H * upscale, W * upscale, C_out).

        C is the model's input channels; a demosaicking model takes one-channel RGGB mosaics as well.
        params: ``k`` keys per token, ``tile`` side of a tile in input pixels (0: the whole image at once),
        ``overlap`` of neighboring tiles in input pixels; what is left out is as the model was registered, the
        default of the signature too. Raises ValueError naming what is wrong with the input; black images alone are
        refused too, because floats in [0, 1] arrive as such by REST.
        """
        import torch

        images = np.asarray(model_input)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"got {images.dtype} of shape {images.shape}; wanted uint8 images (N, H, W, C)")
        if images.size and images.max() <= 1:
            raise ValueError(
                f"no value is above {images.max()} of 255: were floats in [0, 1] sent, of which MLflow's server makes "
                "whole numbers before a model sees them? send uint8 values, 0 to 255"
            )
        channels, observed = images.shape[3], (self.task["input_channels"], self.task["observed_channels"])
        if channels not in observed:
            wanted = " or ".join(str(count) for count in sorted(set(observed)))
            raise ValueError(f"got {channels} channels; this {self.task['task']} model takes {wanted}")
        chosen = {name: self.task[name] for name in ("k", "tile", "overlap")} | (params or {})
        k, tile = chosen["k"], chosen["tile"]
        restored = []
        for image in images:
            pixels = image.astype(np.float32) / 255
            if self.to_input is not None and channels != self.task["input_channels"]:
                pixels = self.to_input(pixels)
            lq = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(self.device)
            with torch.inference_mode():
                if tile:
                    output = self.restore_tiled(self.model, lq, tile, chosen["overlap"], k=k)
                else:
                    output = self.model(lq, k=k)
            levels = output[0].float().clamp(0, 1).mul(255).round().to(torch.uint8)
            restored.append(levels.permute(1, 2, 0).cpu().numpy())
        return np.stack(restored)


mlflow.models.set_model(ServedModel())
