"""A model's files as one value that travels to the workers, so that they need no shared folder and no registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import semanir
from semanir.weights import CONFIG_FILE, WEIGHTS_FILE


@dataclass(frozen=True)
class Weights:
    """Bytes of ``model.safetensors`` and ``config.json``, and the SHA-256 of both together."""

    tensors: bytes = field(repr=False)
    config: bytes = field(repr=False)
    digest: str


def read_weights(folder: Path) -> Weights:
    """The weights of a folder written by ``semanir.save``."""
    tensors, config = (folder / WEIGHTS_FILE).read_bytes(), (folder / CONFIG_FILE).read_bytes()
    return Weights(tensors, config, hashlib.sha256(tensors + config).hexdigest())


_kept: dict[str, semanir.SemanIR] = {}


def build(weights: Weights, device: str) -> semanir.SemanIR:
    """The model on ``device``; the last one built in this process is kept."""
    key = f"{weights.digest} {device}"
    if key not in _kept:
        _kept.clear()
        with TemporaryDirectory() as name:
            (Path(name) / WEIGHTS_FILE).write_bytes(weights.tensors)
            (Path(name) / CONFIG_FILE).write_bytes(weights.config)
            _kept[key] = semanir.load(name, device)
    return _kept[key]
