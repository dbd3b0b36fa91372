"""Forward kernel: one program per tile of queries, looping over tiles of keys with an online softmax."""

from __future__ import annotations

import triton
import triton.language as tl

from semanir.ops.attention.triton.kernels.configs import tuned
from semanir.ops.attention.triton.kernels.tiles import (
    LOG2E,
    add_dot,
    dot,
    kept,
    load_bias,
    load_tokens,
    load_vector,
    store_tokens,
)


@tuned((64, 64, 4, 2), (128, 64, 8, 2), (64, 32, 4, 3), (64, 32, 4, 2))
@triton.jit
def forward_kernel(
    query,
    key,
    value,
    words,
    query_factor,
    key_factor,
    bias,
    out,
    lse2,
    H,
    N,
    num_words,
    stride_m,
    stride_h,
    stride_n,
    out_stride_m,
    out_stride_h,
    out_stride_n,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Writes out (M, H, N, D) and lse2 (M, H, N), the row's log-sum-exp in units of log 2."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile, pair = tl.program_id(0) % tiles, tl.program_id(0) // tiles
    head, window = pair % H, (pair // H).to(tl.int64)
    rows = tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    start = window * stride_m + head * stride_h
    words += window * N * num_words
    bias += head * N * N
    vectors = pair.to(tl.int64) * N

    q = load_tokens(query + start, rows, N, stride_n, D, BLOCK_D, EVEN)
    q_factor = load_vector(query_factor + vectors, rows, N, EVEN)
    highest = tl.full([BLOCK_Q], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_Q], tl.float32)
    acc = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)
    for first in range(0, N, BLOCK_K):
        columns = first + tl.arange(0, BLOCK_K)
        k = load_tokens(key + start, columns, N, stride_n, D, BLOCK_D, EVEN)
        k_factor = load_vector(key_factor + vectors, columns, N, EVEN)
        s = dot(q, tl.trans(k)) * q_factor[:, None] * k_factor[None, :]
        s += load_bias(bias, rows[:, None], columns[None, :], N, EVEN)
        s = tl.where(kept(words, rows, first, num_words, N, BLOCK_K, EVEN), s, -float("inf"))

        new_highest = tl.maximum(highest, tl.max(s, 1))
        # A row may keep no key of the tiles so far: -inf - -inf would be NaN.
        shift = tl.where(new_highest == -float("inf"), 0.0, new_highest) * LOG2E
        shrink = tl.exp2(highest * LOG2E - shift)
        p = tl.exp2(s * LOG2E - shift[:, None])
        total = total * shrink + tl.sum(p, 1)
        v = load_tokens(value + start, columns, N, stride_n, D, BLOCK_D, EVEN)
        acc = add_dot(p.to(v.dtype), v, acc * shrink[:, None])
        highest = new_highest

    out_start = window * out_stride_m + head * out_stride_h
    store_tokens(out + out_start, rows, N, out_stride_n, acc / total[:, None], D, BLOCK_D, EVEN)
    tl.store(lse2 + vectors + rows, highest * LOG2E + tl.log2(total), mask=rows < N)
