"""One shape of attention with its inputs, as a layer makes them, and the backends that are compared on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from semanir.ops import key_semantic_attention, key_semantic_dictionary
from semanir.ops.dictionary.bits import additive_mask

Attend = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Attention over ``windows`` windows of ``tokens`` tokens, ``k`` kept. columnar_small has 6 heads of 30."""

    windows: int
    tokens: int
    k: int
    heads: int = 6
    head_dim: int = 30


@dataclass(frozen=True)
class Inputs:
    """Leaves that need gradients (qkv projection, scale, bias), the dictionary and a gradient of the output."""

    qkv: Tensor
    scale: Tensor
    bias: Tensor
    dictionary: Tensor
    grad: Tensor

    @property
    def leaves(self) -> list[Tensor]:
        return [self.qkv, self.scale, self.bias]

    def to(self, dtype: torch.dtype) -> Inputs:
        """Copies in another type, again leaves; the scale stays float32, as autocast leaves a parameter."""
        qkv, bias = (t.detach().to(dtype).requires_grad_() for t in (self.qkv, self.bias))
        scale = self.scale.detach().clone().requires_grad_()
        return Inputs(qkv, scale, bias, self.dictionary, self.grad.to(dtype))


def make_inputs(case: Case, device: str, seed: int = 0) -> Inputs:
    """Fresh random float32 inputs; the dictionary is built from random features of the layer's width."""
    generator = torch.Generator(device).manual_seed(seed)
    random = partial(torch.randn, generator=generator, device=device)
    qkv = random(case.windows, case.tokens, 3, case.heads, case.head_dim)
    scale = torch.rand(case.heads, generator=generator, device=device) * 20 + 5
    bias = 16 * torch.sigmoid(random(case.heads, case.tokens, case.tokens))
    features = random(case.windows, case.tokens, case.heads * case.head_dim)
    grad = random(case.windows, case.heads, case.tokens, case.head_dim)
    leaves = (t.requires_grad_() for t in (qkv, scale, bias))
    return Inputs(*leaves, key_semantic_dictionary(features, case.k), grad)


def backends(names: list[str]) -> dict[str, Attend]:
    """Name → function of (query, key, value, dictionary, scale=, bias=)."""
    return {n: sdpa_attention if n == "sdpa" else partial(key_semantic_attention, backend=n) for n in names}


def forward(attend: Attend, inputs: Inputs) -> Tensor:
    query, key, value = inputs.qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return attend(query, key, value, inputs.dictionary, scale=inputs.scale, bias=inputs.bias)


def forward_backward(attend: Attend, inputs: Inputs) -> list[Tensor]:
    """The output and the gradients of qkv, scale and bias."""
    out = forward(attend, inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs.leaves, inputs.grad)]


def sdpa_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, *, scale: Tensor, bias: Tensor
) -> Tensor:
    """PyTorch's fused attention with an additive mask: what a GPU user gets without writing a kernel."""
    tokens = query.shape[2]
    mask = bias + additive_mask(dictionary, tokens).to(bias.dtype)[:, None]
    query = F.normalize(query, dim=-1) * scale[:, None, None].to(query.dtype)
    return F.scaled_dot_product_attention(query, F.normalize(key, dim=-1), value, attn_mask=mask, scale=1.0)
