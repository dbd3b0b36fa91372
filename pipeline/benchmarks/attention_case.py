"""One shape of attention with its inputs, as a layer makes them, and the backends that are compared on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.benchmarks.flex import flex_attention
from pipeline.errors import UserError
from semanir.ops import key_semantic_attention, key_semantic_dictionary
from semanir.ops.attention.backends import BACKENDS
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
    """query, key, value, scale and bias, which need gradients; the dictionary; a gradient of the output."""

    leaves: list[Tensor]
    dictionary: Tensor
    grad: Tensor

    def to(self, dtype: torch.dtype) -> Inputs:
        """Copies in another type, again leaves; the scale stays float32, as autocast leaves a parameter."""
        *tokens, scale, bias = self.leaves
        low = [t.detach().to(dtype) for t in tokens]
        leaves = [*low, scale.detach().clone(), bias.detach().to(dtype)]
        return Inputs([leaf.requires_grad_() for leaf in leaves], self.dictionary, self.grad.to(dtype))


def make_inputs(case: Case, device: str, seed: int = 0) -> Inputs:
    """Fresh random float32 inputs in the memory layout of the layer's one qkv projection."""
    generator = torch.Generator(device).manual_seed(seed)
    random = partial(torch.randn, generator=generator, device=device)
    qkv = random(case.windows, case.tokens, 3, case.heads, case.head_dim).permute(2, 0, 3, 1, 4)
    scale = torch.rand(case.heads, generator=generator, device=device) * 20 + 5
    bias = 16 * torch.sigmoid(random(case.heads, case.tokens, case.tokens))
    features = random(case.windows, case.tokens, case.heads * case.head_dim)
    grad = random(case.windows, case.tokens, case.heads, case.head_dim).transpose(1, 2)
    leaves = [leaf.detach().requires_grad_() for leaf in (*qkv.unbind(0), scale, bias)]
    return Inputs(leaves, key_semantic_dictionary(features, case.k), grad)


def backends(names: Sequence[str]) -> dict[str, Attend]:
    """Name → function of (query, key, value, dictionary, scale=, bias=); UserError for a name that is unknown."""
    known = [*BACKENDS, *FOREIGN]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"--backends: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    return {n: FOREIGN.get(n) or partial(key_semantic_attention, backend=n) for n in names}


def forward(attend: Attend, inputs: Inputs) -> Tensor:
    query, key, value, scale, bias = inputs.leaves
    return attend(query, key, value, inputs.dictionary, scale=scale, bias=bias)


def forward_backward(attend: Attend, inputs: Inputs) -> list[Tensor]:
    """The output and the gradients of query, key, value, scale and bias."""
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


# What PyTorch offers for the same mask, beside the table of semanir's own backends.
FOREIGN: dict[str, Attend] = {"sdpa": sdpa_attention, "flex": flex_attention}
