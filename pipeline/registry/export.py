"""A model as a ``torch.export`` program, and what stands between SemanIR and ONNX.

Exports: one fixed size and one k per program, on any device that the model runs on, equal to the model bit by bit.
Restoring goes tile by tile, so the size of a tile is the size to export. The program calls operators that
``semanir`` registers (the dictionary, and attention over it), so ``import semanir`` comes before loading one.

Does not export, and why:

- A dynamic height and width. Windows are planned in Python from the sizes (how many, whether the last ones are padded,
  whether a grid is shifted at all), so each branch would become a constraint on the size; torch reports them as
  specialized. ``semanir.windows.plan_grids`` would have to plan with tensors instead.
- ONNX. It has no operator for the packed dictionary (an exact k-th largest with ties to the lowest index, one bit per
  key), and the attention reads those bits. A translation of ``foreign_operators`` into ONNX functions is needed first.
"""

from __future__ import annotations

from pathlib import Path

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


def foreign_operators(program: ExportedProgram) -> list[str]:
    """Operators of the program that PyTorch itself does not have, so that no converter knows them."""
    names = {
        node.target.name()
        for node in program.graph.nodes
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    }
    return sorted(name for name in names if not name.startswith(("aten::", "prims::")))


def export_onnx(program: ExportedProgram, path: Path) -> None:
    """Write ONNX, once a model has no foreign operators. Today's all have: raises UserError naming them."""
    foreign = foreign_operators(program)
    if foreign:
        raise UserError(
            f"{path.name} cannot be written: ONNX has no {', '.join(foreign)}; use the torch.export program, or the "
            "registered model through MLflow"
        )
    torch.onnx.export(program, (), str(path))
