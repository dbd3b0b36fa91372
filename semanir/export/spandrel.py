"""A model as one safetensors file for programs built on spandrel (chaiNNer among them), and what teaches it to them.

    import spandrel
    from semanir.export.spandrel import install

    install()
    restore = spandrel.ModelLoader().load_from_file("model.safetensors")

spandrel finds an architecture by the names and shapes of a file's tensors. Shapes do not tell a SemanIR's window or k,
so the file carries its configuration as one more tensor, of JSON's bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semanir.config import ModelConfig
from semanir.export.file import SEAL
from semanir.model import build_model
from semanir.network import SemanIR
from semanir.weights import MAX_CONFIG_BYTES, check_size

CONFIG_TENSOR = "semanir_config"


def to_spandrel(model: SemanIR, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write ``model`` as one file. metadata: names and texts, kept in the header of the file beside a seal over all.

    Raises ValueError for metadata under the seal's name.
    """
    from safetensors.torch import save

    text = json.dumps(model.config.to_dict(), sort_keys=True).encode()
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    state[CONFIG_TENSOR] = torch.tensor(list(text), dtype=torch.uint8)
    texts = dict(metadata or {})
    if SEAL in texts:
        raise ValueError(f"metadata {SEAL!r}: {texts[SEAL]!r}: the name is the seal's; choose another")
    Path(path).write_bytes(save(state, {**texts, SEAL: _digest(state, texts)}))


def read_spandrel(path: str | Path) -> tuple[SemanIR, dict[str, str]]:
    """The model in a file of :func:`to_spandrel`, as :func:`from_state` gives it, and the file's texts.

    Raises ValueError, in one line, for another file, or one whose tensors or texts were altered since.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            texts = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it has no __iter__)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {' '.join(str(error).split())[:200]}") from None
    if texts.pop(SEAL, None) != _digest(state, texts):
        raise ValueError(f"{path} was altered, or was not written by semanir: its content does not match its {SEAL}")
    return from_state(state), texts


def from_state(state: Mapping[str, Tensor]) -> SemanIR:
    """The model of such a file's tensors, in evaluation mode, on the CPU.

    Raises ValueError when they are not those of :func:`to_spandrel`, or do not fit the configuration among them.
    """
    text = state.get(CONFIG_TENSOR)
    if text is None or text.dtype != torch.uint8 or text.dim() != 1 or text.numel() > MAX_CONFIG_BYTES:
        raise ValueError(f"no {CONFIG_TENSOR} of at most {MAX_CONFIG_BYTES} bytes among the tensors")
    try:
        values = json.loads(bytes(text.cpu().tolist()))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{CONFIG_TENSOR} is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{CONFIG_TENSOR} must hold a JSON object, got {type(values).__name__}")
    weights = {name: tensor for name, tensor in state.items() if name != CONFIG_TENSOR}
    config = ModelConfig.from_dict(values)
    check_size(config, sum(tensor.nbytes for tensor in weights.values()), "the file")
    model = build_model(config)
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"the tensors do not fit {CONFIG_TENSOR}: {' '.join(str(error).split())[:400]}") from None
    return model.eval()


def install(registry: Any = None) -> None:
    """Teach SemanIR to ``registry`` (a ``spandrel.ArchRegistry``; default: the one that every loader uses).

    Doing so again changes nothing. Raises ModuleNotFoundError when the package ``spandrel`` is missing.
    """
    import spandrel

    class SemanIRArch(spandrel.Architecture[SemanIR]):
        """Any height and width; the model pads by itself, and computes an image whole: large ones want tiles."""

        def __init__(self) -> None:
            super().__init__(id="SemanIR", detect=lambda state: CONFIG_TENSOR in state)

        def load(self, state_dict: Any) -> Any:
            model = from_state(state_dict)
            config = model.config
            return spandrel.ImageModelDescriptor(
                model,
                model.state_dict(),
                architecture=self,
                purpose="Restoration" if config.upscale == 1 else "SR",
                tags=[f"window {config.window_size}", f"k {config.k}"],
                supports_half=False,
                supports_bfloat16=False,
                scale=config.upscale,
                input_channels=config.in_channels,
                output_channels=config.out_channels,
            )

    target = spandrel.MAIN_REGISTRY if registry is None else registry
    target.add(spandrel.ArchSupport.from_architecture(SemanIRArch()), ignore_duplicates=True)


def _digest(state: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """Of all tensors' names, types, shapes and bytes, then of all texts with theirs, each in the order of the names."""
    seal = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        seal.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        seal.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    seal.update(json.dumps(sorted(texts.items())).encode())
    return seal.hexdigest()
