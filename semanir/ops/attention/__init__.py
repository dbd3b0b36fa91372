"""Attention restricted to the keys that the dictionary keeps: one function, several backends.

Shapes: M windows, H heads, N tokens per window, d channels per head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.ops.attention.backends import BACKENDS
from semanir.ops.attention.call import AttentionCall, kept_keys
from semanir.ops.attention.choose import resolve_backend
from semanir.ops.dictionary.bits import num_words


def key_semantic_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dictionary: Tensor,
    *,
    scale: Tensor,
    bias: Tensor,
    backend: str = "auto",
) -> Tensor:
    """Cosine attention over the kept keys: softmax(scale * cos(query, key) + bias) @ value.

    query, key, value: (M, H, N, d), any strides; query and key are normalized here.
    dictionary: int32 words (M, N, ceil(N / 32)) of :func:`semanir.ops.key_semantic_dictionary`, the same for
        all heads. Every row must keep at least one key.
    scale: positive factor per head (H,), the exponential of the learned logit scale.
    bias: position bias (H, N, N), [head, query, key].
    backend: a name of :data:`semanir.ops.attention.backends.BACKENDS`, or ``auto`` (see
        :func:`semanir.ops.attention.choose.choose_backend`).

    Returns (M, H, N, d) in value's type. Differentiable in query, key, value, scale and bias. Raises ValueError for a
    wrong shape, type, device or an unknown backend; RuntimeError for one that cannot run.
    """
    _check_shapes(query, key, value, dictionary, scale, bias)
    needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value, scale, bias))
    num_tokens, head_dim = query.shape[2:]
    # Only a choice asks for k: a layer has chosen already, and names its backend.
    kept = kept_keys(dictionary, num_tokens) if backend == "auto" else None
    call = AttentionCall(query.device, query.dtype, num_tokens, head_dim, needs_grad, kept)
    return BACKENDS[resolve_backend(backend, call)].attend(query, key, value, dictionary, scale, bias)


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor) -> None:
    if query.dim() != 4 or key.shape != query.shape or value.shape != query.shape:
        raise ValueError(
            "query, key and value must share one shape (windows, heads, tokens, channels), got "
            f"{tuple(query.shape)}, {tuple(key.shape)}, {tuple(value.shape)}"
        )
    if not query.dtype == key.dtype == value.dtype:
        raise ValueError(f"query, key and value must share one type, got {query.dtype}, {key.dtype}, {value.dtype}")
    num_windows, num_heads, num_tokens, _ = query.shape
    for name, tensor, expected in (
        ("dictionary", dictionary, (num_windows, num_tokens, num_words(num_tokens))),
        ("scale", scale, (num_heads,)),
        ("bias", bias, (num_heads, num_tokens, num_tokens)),
    ):
        if tuple(tensor.shape) != expected:
            raise ValueError(f"{name} must have shape {expected}, got {tuple(tensor.shape)}")
        if tensor.device != query.device:
            raise ValueError(f"{name} is on {tensor.device}, but query is on {query.device}")
    if dictionary.dtype != torch.int32:
        raise ValueError(f"dictionary must hold int32 words, got {dictionary.dtype}")
