"""A model as a folder: ``model.safetensors`` and ``config.json``. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from semanir.config import ModelConfig
from semanir.model import build_model
from semanir.network import SemanIR

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def save(model: SemanIR | Mapping[str, Tensor], folder: str | Path, config: ModelConfig | None = None) -> Path:
    """Write a model, or a state dict with its ``config``, into a folder (made if absent). Returns the folder.

    Raises ValueError when a state dict comes without a configuration, or a model with a different one.
    """
    from safetensors.torch import save_file

    if isinstance(model, SemanIR):
        if config is not None and config != model.config:
            raise ValueError("config differs from the model's own; leave it out when saving a model")
        state, config = model.state_dict(), model.config
    elif config is None:
        raise ValueError("a state dict needs its ModelConfig: save(state_dict, folder, config)")
    else:
        state = dict(model)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # safetensors refuses tensors that share memory or have gaps.
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    return folder


def load(folder: str | Path, device: str | torch.device = "cpu") -> SemanIR:
    """Build the model saved in a folder, in evaluation mode.

    Raises FileNotFoundError when a file is missing, ValueError when the configuration is unreadable or
    unknown or the weights do not belong to it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}; expected a folder written by semanir.save")
    try:
        values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_FILE} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{folder / CONFIG_FILE} must hold a JSON object, got {type(values).__name__}")
    model = build_model(ModelConfig.from_dict(values))
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE}: {error}") from error
    return model.to(device).eval()
