"""One bit per (query, key) pair in int32 words: bit j % 32 of word j // 32 of a row says that key j is kept.

Words are little-endian in memory, as on every platform that PyTorch supports with a wheel.
"""

from __future__ import annotations

import torch
from torch import Tensor

WORD_BITS = 32
# x * SPREAD >> 56 gathers the lowest bit of each of the eight bytes of x into one byte, byte i into bit i.
_GATHER_BYTES = 0x0102040810204080


def num_words(num_tokens: int) -> int:
    """Words per row."""
    return -(-num_tokens // WORD_BITS)


def pack_bits(keep: Tensor) -> Tensor:
    """Boolean (..., N) -> int32 (..., ceil(N / 32)); bits beyond N are zero."""
    num_tokens = keep.shape[-1]
    missing = -num_tokens % WORD_BITS
    if missing:
        keep = torch.nn.functional.pad(keep, (0, missing))
    eights = keep.contiguous().view(torch.uint8).view(torch.int64)
    return ((eights * _GATHER_BYTES) >> 56).to(torch.uint8).view(torch.int32)


def unpack_bits(words: Tensor, num_tokens: int) -> Tensor:
    """int32 (..., ceil(N / 32)) -> boolean (..., N)."""
    shifts = torch.arange(WORD_BITS, device=words.device, dtype=torch.int32)
    bits = (words.unsqueeze(-1) >> shifts) & 1
    return bits.flatten(-2)[..., :num_tokens].bool()


def additive_mask(words: Tensor, num_tokens: int) -> Tensor:
    """int32 (..., ceil(N / 32)) -> float32 (..., N): 0 where the key is kept, -inf elsewhere.

    A table look-up of eight keys per byte: several times faster than shifting every bit on a CPU.
    """
    byte = torch.arange(256, device=words.device)[:, None]
    table = torch.where((byte >> torch.arange(8, device=words.device)) & 1 > 0, 0.0, -torch.inf)
    rows = torch.nn.functional.embedding(words.contiguous().view(torch.uint8).int(), table)
    return rows.flatten(-2)[..., :num_tokens]
