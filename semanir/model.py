"""The published sizes by name, and the one function that builds a model."""

from __future__ import annotations

from typing import Any

from semanir.columnar import Columnar
from semanir.config import ModelConfig
from semanir.network import SemanIR
from semanir.ushape import UShape

# Published sizes: window 32, k 512 (trained with random k). The tiny ones train on two CPU cores in a minute; the light
# ones, a hundredth of the published, are for hours on a CPU and for pictures of megapixels there.
_SIZES: dict[str, dict[str, Any]] = {
    "columnar_tiny": {
        "family": "columnar",
        "embed_dim": 24,
        "depths": (2, 2),
        "num_heads": 1,
        "window_size": 8,
        "k": 16,
        "upscale": 2,
        "bias_hidden_dim": 64,
        "upsample_dim": 24,
        "zero_init_last": True,
    },
    "columnar_light": {
        "family": "columnar",
        "embed_dim": 48,
        "depths": (3, 3, 3),
        "num_heads": 2,
        "window_size": 8,
        "k": 16,
        "upscale": 2,
        "bias_hidden_dim": 64,
        "upsample_dim": 32,
        "zero_init_last": True,
    },
    "columnar_small": {
        "family": "columnar",
        "embed_dim": 180,
        "depths": (6,) * 6,
        "num_heads": 6,
        "window_size": 32,
        "k": 512,
        "upscale": 2,
        "image_skip": False,
    },
    "columnar_base": {
        "family": "columnar",
        "embed_dim": 180,
        "depths": (8,) * 8,
        "num_heads": 6,
        "window_size": 32,
        "k": 512,
        "upscale": 2,
        "image_skip": False,
    },
    "ushape_tiny": {
        "family": "ushape",
        "embed_dim": 16,
        "depths": (2, 2, 2),
        "num_heads": 1,
        "window_size": 8,
        "k": 16,
        "bias_hidden_dim": 64,
        "zero_init_last": True,
    },
    "ushape_light": {
        "family": "ushape",
        "embed_dim": 32,
        "depths": (2, 2, 2),
        "num_heads": 1,
        "window_size": 8,
        "k": 16,
        "bias_hidden_dim": 64,
        "zero_init_last": True,
    },
    "ushape_base": {
        "family": "ushape",
        "embed_dim": 60,
        "depths": (2, 4, 4, 6, 4, 4, 2, 4),
        "num_heads": 2,
        "window_size": 32,
        "k": 512,
    },
}


def list_models() -> list[str]:
    """Names that :func:`create_model` knows."""
    return sorted(_SIZES)


def create_model(name: str, **overrides: Any) -> SemanIR:
    """Build a model of a published size with fresh weights.

    name: one of :func:`list_models`. overrides: fields of :class:`ModelConfig`. A smaller ``window_size``
    without ``k`` keeps the size's share of the window (k / window_size**2).
    Raises ValueError for an unknown name or field (listing what exists) or an invalid value.
    """
    return build_model(model_config(name, **overrides))


def model_config(name: str, **overrides: Any) -> ModelConfig:
    """The configuration that :func:`create_model` builds, without building it."""
    if name not in _SIZES:
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(list_models())}")
    values = {**_SIZES[name], **overrides}
    window_size = overrides.get("window_size")
    if isinstance(window_size, int) and "k" not in overrides:
        values["k"] = max(1, _SIZES[name]["k"] * window_size**2 // _SIZES[name]["window_size"] ** 2)
    return ModelConfig.from_dict(values)


def build_model(config: ModelConfig) -> SemanIR:
    """The network of a configuration, with fresh weights."""
    return Columnar(config) if config.family == "columnar" else UShape(config)
