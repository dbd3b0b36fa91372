"""SemanIR: image restoration with a key-semantic dictionary shared by the transformer layers of a stage.

Usable alone: needs PyTorch, and safetensors for :func:`save` and :func:`load`. Where Triton is installed its kernels
serve GPUs; where NumPy is, its partition speeds the dictionary's build on a CPU (the result is the same without).
Paper: Ren et al., "Sharing Key Semantics in Transformer Makes Efficient Image Restoration", NeurIPS 2024.
"""

from semanir.config import ModelConfig
from semanir.describe import ModelDescription, describe
from semanir.model import build_model, create_model, list_models, model_config
from semanir.network import SemanIR
from semanir.resize import imresize
from semanir.reuse import Dictionaries
from semanir.tiling import restore_tiled
from semanir.weights import load, save

__version__ = "0.2.0"  # the only place: pyproject.toml reads it from here

__all__ = [
    "Dictionaries",
    "ModelConfig",
    "ModelDescription",
    "SemanIR",
    "__version__",
    "build_model",
    "create_model",
    "describe",
    "imresize",
    "list_models",
    "load",
    "model_config",
    "restore_tiled",
    "save",
]
