"""The fused product is the plain one, and is taken only where it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from semanir.ops import linear as module
from semanir.ops.linear import linear


def case(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    channels = shape[-1]
    x, weight, bias = (
        torch.randn(*size, generator=generator) for size in (shape, (2 * channels, channels), (2 * channels,))
    )
    return x, weight, bias


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the fused product was asked for."""
    seen: list[Any] = []
    fused: Callable[..., Tensor] | None = module._FUSED
    assert fused is not None, "the installed PyTorch has oneDNN and the operator that linear uses"

    def spy(*arguments: Any) -> Tensor:
        seen.append(arguments[3])
        return fused(*arguments)

    monkeypatch.setattr(module, "_FUSED", spy)
    return seen


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 64, 16), (7, 5, 6), (2, 3, 4, 12)])
@pytest.mark.parametrize("gelu", [False, True])
def test_equals_the_plain_product(shape: tuple[int, ...], gelu: bool, calls: list[Any]) -> None:
    x, weight, bias = case(*shape)
    plain = F.linear(x, weight, bias)
    with torch.no_grad():
        torch.testing.assert_close(linear(x, weight, bias, gelu=gelu), F.gelu(plain) if gelu else plain)
    assert calls == ["gelu" if gelu else "none"]


@pytest.mark.parametrize("strided", [lambda x: x.transpose(0, 1), lambda x: x[:, ::2], lambda x: x[:0]])
def test_any_strides(strided: Callable[[Tensor], Tensor]) -> None:
    x, weight, bias = case(6, 10, 8)
    with torch.no_grad():
        torch.testing.assert_close(linear(strided(x), weight, bias), F.linear(strided(x), weight, bias))


def test_gradients_take_the_plain_product(calls: list[Any]) -> None:
    x, weight, bias = case(3, 8, 4)
    weight.requires_grad_()
    linear(x, weight, bias, gelu=True).sum().backward()
    assert weight.grad is not None
    assert calls == []


def test_other_types_take_the_plain_product(calls: list[Any]) -> None:
    x, weight, bias = case(3, 8, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16
    with torch.no_grad():
        assert linear(x.double(), weight.double(), bias.double()).dtype == torch.float64
    assert calls == []
