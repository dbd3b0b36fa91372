"""The forms in which a model leaves this project: how each is written, run again for its check, and read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import semanir
from pipeline.errors import UserError
from pipeline.registry import darktable
from pipeline.registry.export_parity import EXACT, HALF, Parity, Restore, in_onnxruntime
from semanir.export import read_onnx_metadata, read_spandrel, to_onnx, to_spandrel


@dataclass(frozen=True)
class Format:
    """One way to write a model: ``write(model, path, metadata)``.

    run: the written file as a function. limit: how far its output may be from the model's. read: the texts inside it.
    any_k: whether the file takes k; else it keeps the model's own.
    """

    about: str
    write: Callable[[semanir.SemanIR, Path, dict[str, str]], None]
    run: Callable[[Path], Restore]
    limit: Parity
    read: Callable[[Path], dict[str, str]]
    any_k: bool = True


def _float16(model: semanir.SemanIR, path: Path, metadata: dict[str, str]) -> None:
    to_onnx(model, path, metadata, half=True)


def _in_torch(path: Path) -> Restore:
    model, _ = read_spandrel(path)

    def restore(image: Tensor, k: int) -> Tensor:
        with torch.inference_mode():
            return model(image, k)

    return restore


FORMATS = {
    "onnx": Format(
        about="float32, any batch, size and k: for ONNX Runtime, OpenVINO, browsers",
        write=to_onnx, run=in_onnxruntime, limit=EXACT, read=read_onnx_metadata,
    ),
    "onnx-float16": Format(
        about="ONNX with float16 weights and arithmetic: half the bytes",
        write=_float16, run=in_onnxruntime, limit=HALF, read=read_onnx_metadata,
    ),
    "darktable": Format(
        about="a .dtmodel package for darktable's neural restore, k fixed",
        write=darktable.write, run=darktable.run, limit=EXACT, read=darktable.read_metadata, any_k=False,
    ),
    "spandrel": Format(
        about="one safetensors file for programs built on spandrel, where semanir.export.spandrel.install was called",
        write=to_spandrel, run=_in_torch, limit=EXACT, read=lambda path: read_spandrel(path)[1],
    ),
}  # fmt: skip


def find_format(name: str) -> Format:
    """Raises UserError, listing what exists, for an unknown name."""
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}; known formats: {', '.join(FORMATS)}")
    return FORMATS[name]


def form_of(path: Path) -> str:
    """Which of them a file is, by how it begins; ``onnx``, whose files begin with nothing of their own, else."""
    if zipfile.is_zipfile(path):
        return "darktable"
    with path.open("rb") as file:
        head = file.read(9)
    return "spandrel" if head[8:] == b"{" else "onnx"
