"""A model as a ``torch.export`` program: one fixed size and one k, equal to the model bit by bit.

Restoring goes tile by tile, so the size of a tile is the size to export. The program calls operators that ``semanir``
registers (the dictionary, and attention over it), so ``import semanir`` comes before loading one.

Height and width are fixed because windows are planned in Python from the sizes (how many, whether the last ones are
padded, whether a grid is shifted at all): each branch becomes a constraint on the size, and torch reports the sizes as
specialized. ``semanir.export`` plans windows with tensors instead, and writes one ONNX file for all sizes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

import semanir
from pipeline.errors import UserError
from semanir.config import check_k


class _AtK(nn.Module):
    """The model with its k fixed: the program's only input is the image."""

    def __init__(self, model: semanir.SemanIR, k: int) -> None:
        super().__init__()
        self.model, self.k = model, k

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.model(x, k=self.k)
        return result


def export_program(model: semanir.SemanIR, height: int, width: int, k: int | None = None) -> ExportedProgram:
    """The model for network inputs (1, in_channels, height, width) in [0, 1]; k: keys per token, None: its own.

    ``program.module()(x)`` runs it; ``torch.export.save`` writes it. The model's parameters stop requiring gradients.

    Raises UserError for a k that the model does not allow or a size below 1.
    """
    k = model.config.k if k is None else k
    try:
        check_k(k, model.config.window_size)
    except ValueError as error:
        raise UserError(str(error)) from None
    if min(height, width) < 1:
        raise UserError(f"a program needs a size of at least 1x1 pixels, got {height}x{width}")
    module = _AtK(model.eval().requires_grad_(False), k)
    example = torch.zeros(1, model.config.in_channels, height, width, device=next(model.parameters()).device)
    return torch.export.export(module, (example,), strict=False)
