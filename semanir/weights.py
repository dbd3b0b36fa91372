"""A model as a folder: ``model.safetensors`` and ``config.json``. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

import torch
from torch import Tensor

from semanir.config import ModelConfig
from semanir.model import build_model
from semanir.network import SemanIR

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
SOURCES = "semanir.sources"  # the entry points that fetch an address into a folder, one per scheme
MAX_CONFIG_BYTES = 1 << 20
_URI_SCHEMES = ("models:", "runs:", "shipped:")


def save(model: SemanIR | Mapping[str, Tensor], folder: str | Path, config: ModelConfig | None = None) -> Path:
    """Write a model, or a state dict with its ``config``, into a folder (made if absent). Returns the folder.

    Raises ValueError when a state dict comes without a configuration, or a model with a different one.
    """
    from safetensors.torch import save as encode

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
    # safetensors refuses tensors that share memory or have gaps. Its own files only their owner may read.
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    (folder / WEIGHTS_FILE).write_bytes(encode(tensors))
    (folder / CONFIG_FILE).write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    return folder


def load(folder_or_uri: str | Path, device: str | torch.device = "cpu") -> SemanIR:
    """Build the model saved in a folder or registered in MLflow, in evaluation mode.

    folder_or_uri: a folder written by :func:`save`, or ``models:/name@alias``, ``models:/name/version``,
    ``runs:/run_id``, ``shipped:<task>``, which the package semanir-on-ray fetches and checks against its digests.
    device: what ``torch.device`` takes.

    Raises FileNotFoundError when a file is missing, ValueError when the configuration is unreadable or unknown, the
    weights do not belong to it, the address has another scheme, or torch does not know the device or cannot use it
    here, ModuleNotFoundError for a URI that no installed package fetches, and for a URI what fetching it raises.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    target = _device(device)
    folder = _folder(folder_or_uri)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}; expected a folder written by semanir.save")
    if (folder / CONFIG_FILE).stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(f"{folder / CONFIG_FILE} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder / CONFIG_FILE} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{folder / CONFIG_FILE} must hold a JSON object, got {type(values).__name__}")
    config = ModelConfig.from_dict(values)
    check_size(config, (folder / WEIGHTS_FILE).stat().st_size, str(folder / WEIGHTS_FILE))
    model = build_model(config)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE}: {' '.join(str(error).split())[:400]}"
        ) from error
    try:
        return model.to(target).eval()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises each, by the kind of device
        raise ValueError(f"device {str(device)!r:.40} cannot be used here: {_first_line(error)}") from error


def _device(device: str | torch.device) -> torch.device:
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r:.40} is unknown to torch: {_first_line(error)}") from error


def _folder(folder_or_uri: str | Path) -> Path:
    text = str(folder_or_uri)
    if text.startswith(_URI_SCHEMES):
        return _fetch(text)
    if isinstance(folder_or_uri, str) and "://" in text:
        scheme = text.partition("://")[0]
        raise ValueError(
            f"{text:.200}: {scheme}: is no scheme that models are loaded from; give a folder, or an address that "
            f"begins with {', '.join(_URI_SCHEMES)}"
        )
    return Path(folder_or_uri)


def check_size(config: ModelConfig, size: int, where: str) -> None:
    """Before a model takes its memory: ValueError for a configuration of a far larger one than its weights.

    size: of the weights, in bytes. where: what holds them, for the message.
    """
    # Each layer's query, key, value and output projections alone are 4 C² numbers, of two bytes at least.
    layers = sum(depth * width**2 for depth, width in zip(config.depths, config.widths, strict=True))
    least = 8 * layers
    if size < least:
        raise ValueError(
            f"{where} does not fit its {CONFIG_FILE}: {sum(config.depths)} layers with embed_dim {config.embed_dim} "
            f"take {least} bytes at least, it has {size}"
        )


def _fetch(uri: str) -> Path:
    # By entry point, not by import: the library stands alone, and whatever package knows a registry adds itself.
    scheme = uri.partition(":")[0]
    for source in entry_points(group=SOURCES, name=scheme):
        return Path(source.load()(uri))
    raise ModuleNotFoundError(
        f"loading {uri} needs a package that fetches {scheme}: addresses (semanir-on-ray does); "
        "without one give a folder with model.safetensors and config.json"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
