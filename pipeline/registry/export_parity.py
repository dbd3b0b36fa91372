"""Whether an exported file restores as the model does, as a user would see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import semanir

# (image (1, C, H, W), k) -> restored
Restore = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Parity:
    """How far an exported file may be from the model, over whole images in [0, 1].

    Neighbors that are almost equally similar may be chosen differently where a product differs in its last bit, so
    equality is no fair demand; 60 dB is far below what an 8-bit picture can show (59 dB is its own rounding).
    """

    least_psnr: float
    largest_shift: float = 0.25 / 255
    """Of the mean of a channel: a color shift is seen long before noise of the same size."""


EXACT = Parity(least_psnr=60.0)
HALF = Parity(least_psnr=45.0)


def fault(
    exported: Restore, model: semanir.SemanIR, images: Iterator[Tensor] | list[Tensor], limit: Parity, ks: Iterable[int]
) -> str:
    """What is wrong with the exported file, in words; empty when every image is within the limit at every k."""
    for image in images:
        for k in ks:
            with torch.inference_mode():
                expected = model(image, k)
            found = exported(image, k)
            size = f"{image.shape[2]}x{image.shape[3]} pixels, k {k}"
            if found.shape != expected.shape:
                return f"at {size} its output has shape {tuple(found.shape)}, not {tuple(expected.shape)}"
            if not bool(found.isfinite().all()):
                return f"at {size} its output is not finite"
            shift = float((found - expected).mean((0, 2, 3)).abs().max())
            if shift > limit.largest_shift:
                allowed = f"allowed {limit.largest_shift * 255:g}"
                return f"at {size} a color shifts by {shift * 255:.2f} of 255 levels ({allowed})"
            value = psnr(found, expected)
            if value < limit.least_psnr:
                return (
                    f"at {size} it is {value:.1f} dB from the model's output (at least {limit.least_psnr:g} is asked)"
                )
    return ""


def psnr(found: Tensor, expected: Tensor) -> float:
    """In dB for values in [0, 1]; infinite when equal."""
    error = float((found.double() - expected.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def in_onnxruntime(path: Path, threads: int | None = None) -> Restore:
    """The file in ONNX Runtime, on the CPU. A file without the input k keeps its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    names = [found.name for found in session.get_inputs()]

    def restore(image: Tensor, k: int) -> Tensor:
        return torch.from_numpy(session.run(None, dict(zip(names, _inputs(image, k), strict=False)))[0])

    return restore


def in_openvino(path: Path, threads: int | None = None) -> Restore:
    """As :func:`in_onnxruntime`, in OpenVINO, in float32 (its own choice is bfloat16 where the processor has it)."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    request, count = compiled.create_infer_request(), len(compiled.inputs)

    def restore(image: Tensor, k: int) -> Tensor:
        return torch.from_numpy(request.infer(_inputs(image, k)[:count])[0].copy())

    return restore


def _inputs(image: Tensor, k: int) -> list[Any]:
    """In the order in which every exported file has them."""
    import numpy

    return [image.contiguous().numpy(), numpy.array(k, dtype=numpy.int64)]
