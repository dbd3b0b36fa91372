"""The factors that turn a raw dot product into a scaled cosine: one pass over queries and keys."""

from __future__ import annotations

import triton
import triton.language as tl

from semanir.ops.attention.triton.kernels.tiles import load_tokens, unit_tokens


@triton.jit
def factors_kernel(
    query,
    key,
    scale,
    query_factor,
    key_factor,
    H,
    N,
    stride_m,
    stride_h,
    stride_n,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """query_factor = scale / ‖query‖ and key_factor = 1 / ‖key‖, both (M, H, N)."""
    tiles = tl.cdiv(N, BLOCK)
    tile, pair = tl.program_id(0) % tiles, tl.program_id(0) // tiles
    tokens = tile * BLOCK + tl.arange(0, BLOCK)
    start = (pair // H).to(tl.int64) * stride_m + (pair % H) * stride_h
    at, inside = pair.to(tl.int64) * N + tokens, tokens < N
    _, inverse = unit_tokens(load_tokens(query + start, tokens, N, stride_n, D, BLOCK_D, False))
    tl.store(query_factor + at, inverse * tl.load(scale + pair % H), mask=inside)
    _, inverse = unit_tokens(load_tokens(key + start, tokens, N, stride_n, D, BLOCK_D, False))
    tl.store(key_factor + at, inverse, mask=inside)
