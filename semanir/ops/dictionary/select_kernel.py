"""GPU kernel: the k largest scores of each row as packed bits, read once. Importing it imports Triton.

What is sought per row is the k-th largest value. Floats keep their order when their bits are read as integers, so 32
halvings over those integers find it exactly, each a comparison and a sum in registers; nothing is sorted.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ENTRIES = 2048  # of a program's rows together: what one warp holds in registers


@triton.jit
def select_kernel(
    scores, regions, words, k, N, num_words, period, first_window,
    HAS_REGIONS: tl.constexpr, ROWS: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Writes words (M, N, num_words) from scores (M, N, N); regions (period, N), see `key_semantic_dictionary`."""
    tiles = tl.cdiv(N, ROWS)
    window, tile = (tl.program_id(0) // tiles).to(tl.int64), tl.program_id(0) % tiles
    rows = tile * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, BLOCK_N)
    inside = (rows[:, None] < N) & (columns[None, :] < N)
    value = tl.load(scores + window * N * N + rows[:, None] * N + columns[None, :], mask=inside, other=0.0)
    allowed = inside
    if HAS_REGIONS:
        labels = regions + (first_window + window) % period * N
        own = tl.load(labels + rows, mask=rows < N, other=0)
        allowed = allowed & (own[:, None] == tl.load(labels + columns, mask=columns < N, other=0)[None, :])

    bits = (value + 0.0).to(tl.int32, bitcast=True)  # -0.0 becomes +0.0: they tie
    # Signed integers in the order of the floats; what may not be kept comes last.
    order = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    lowest = -2147483648
    order = tl.where(allowed, order, lowest)
    wanted = tl.minimum(tl.sum(allowed.to(tl.int32), 1), k)
    # The largest integer that `wanted` entries reach, bit by bit; the first bit is the sign, and turns the other way.
    reached = tl.sum((order >= 0).to(tl.int32), 1) >= wanted
    least = tl.where(reached, 0, lowest)
    for i in range(31):
        candidate = least | (1 << (30 - i))
        reached = tl.sum((order >= candidate[:, None]).to(tl.int32), 1) >= wanted
        least = tl.where(reached, candidate, least)

    above = order > least[:, None]
    ties = ((order == least[:, None]) & allowed).to(tl.int32)
    room = wanted - tl.sum(above.to(tl.int32), 1)
    keep = above | ((ties != 0) & (tl.cumsum(ties, 1) <= room[:, None]))

    packed = keep.to(tl.int32) << (columns % 32)[None, :]
    packed = tl.sum(tl.reshape(packed, [ROWS, BLOCK_N // 32, 32]), 2)
    word = tl.arange(0, BLOCK_N // 32)
    pointers = words + (window * N + rows[:, None]) * num_words + word[None, :]
    tl.store(pointers, packed, mask=(rows[:, None] < N) & (word[None, :] < num_words))


def select_top(scores: Tensor, k: int, regions: Tensor | None, first_window: int, words: Tensor) -> None:
    """Fill ``words`` (M, N, ceil(N / 32)), int32, from ``scores`` (M, N, N), float32, both contiguous.

    regions: labels (R, N), int32, of which window m has row (first_window + m) % R; None: all is one region.
    """
    num_windows, num_tokens, _ = scores.shape
    block = max(32, triton.next_power_of_2(num_tokens))
    rows = max(1, _ENTRIES // block)
    grid = (triton.cdiv(num_tokens, rows) * num_windows,)
    with torch.cuda.device_of(scores):
        select_kernel[grid](
            scores, words if regions is None else regions.contiguous(), words, min(k, num_tokens), num_tokens,
            words.shape[2], 1 if regions is None else len(regions), first_window,
            HAS_REGIONS=regions is not None, ROWS=rows, BLOCK_N=block, num_warps=1,
        )  # fmt: skip
