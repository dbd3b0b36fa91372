"""No speed without parity: outputs and gradients against the float32 reference, before anything is timed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NAMES = ("output", *(f"gradient of {name}" for name in ("query", "key", "value", "scale", "bias")))
FLOAT32_TOLERANCE = 1e-5  # of one layer
MODEL_TOLERANCE = 1e-4  # of a whole model in float32: rounding grows through its layers
ZERO_TOLERANCE = 1e-6  # absolute, where the reference is zero (k = 1: the softmax is constant)
ROUNDING_FACTOR = 2.0  # times the error of the readable reference with rounding of the same kind


def errors(found: Sequence[Tensor], reference: Sequence[Tensor]) -> list[float]:
    """‖found − reference‖ / ‖reference‖ of each tensor; absolute where the reference is zero. NaN becomes inf."""
    out = []
    for a, b in zip(found, reference, strict=True):
        distance, norm = (a.double() - b.double()).norm(), b.double().norm()
        zero = bool(norm < ZERO_TOLERANCE * b.numel() ** 0.5)
        error = float((a.double() - b.double()).abs().max() if zero else distance / norm)
        out.append(error if error == error else float("inf"))
    return out


def verdict(found: Sequence[float], low_precision_reference: Sequence[float] | None) -> str | None:
    """None when every error is within its limit, else a sentence that names the first that is not.

    low_precision_reference: errors of the reference itself in the type under test; None for float32.
    """
    for index, error in enumerate(found):
        limit = FLOAT32_TOLERANCE
        if low_precision_reference is not None:
            limit = ROUNDING_FACTOR * low_precision_reference[index] + ZERO_TOLERANCE
        if not error <= limit:
            return f"{NAMES[index]}: error {error:.1e}, limit {limit:.1e}"
    return None


def use_ieee_float32() -> None:
    """Float32 products in full precision (not TF32), for everything that follows in this process."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
