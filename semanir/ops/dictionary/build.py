"""The fast exact build of the key-semantic dictionary in plain torch, registered as one opaque operator.

Opaque, so that ``torch.compile`` neither traces into it nor specializes on k: no shape depends on k.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.ops.compiled.library import kernels, select
from semanir.ops.dictionary.bits import num_words, pack_bits
from semanir.ops.dictionary.select_torch import Divided, keep_top, labels_of
from semanir.ops.opaque import opaque_op
from semanir.ops.precision import no_autocast
from semanir.ops.presence import HAS_TRITON

# Scores of one chunk of windows: small enough for a CPU's cache, large enough to fill a GPU.
_CHUNK_BYTES = {"cpu": 1 << 20, "cuda": 512 << 20}

_MOST_TOKENS_OF_KERNEL = 2048  # a row is held in one warp's registers


def _fake(windows: Tensor, k: int, regions: Tensor | None) -> Tensor:
    num_windows, num_tokens, _ = windows.shape
    return windows.new_empty(num_windows, num_tokens, num_words(num_tokens), dtype=torch.int32)


@opaque_op("semanir::build_dictionary(Tensor windows, SymInt k, Tensor? regions) -> Tensor", fake=_fake)
def build_dictionary(windows: Tensor, k: int, regions: Tensor | None) -> Tensor:
    """(M, N, C), k, (R, N) or None -> (M, N, ceil(N / 32)) int32; see ``key_semantic_dictionary``."""
    num_windows, num_tokens, _ = windows.shape
    words = torch.empty(num_windows, num_tokens, num_words(num_tokens), dtype=torch.int32, device=windows.device)
    chunk = max(1, _CHUNK_BYTES.get(windows.device.type, 64 << 20) // (4 * num_tokens * num_tokens))
    compiled = windows.device.type == "cpu" and kernels() is not None
    by_kernel = has_kernel(windows.device, num_tokens)
    if by_kernel:
        from semanir.ops.dictionary.select_kernel import select_top  # it imports Triton
    with torch.no_grad(), no_autocast(windows.device):
        for start in range(0, num_windows, chunk):
            features = windows[start : start + chunk].float()
            scores = torch.bmm(features, features.mT)
            if by_kernel:
                select_top(scores, k, regions, start, words[start : start + chunk])
                continue
            if compiled:
                labels = None if regions is None else labels_of(regions, start, len(scores)).int()
                if select(scores, labels, k, words[start : start + chunk]):
                    continue
            divided = None if regions is None else Divided.find(regions, start, len(features))
            words[start : start + chunk] = pack_bits(keep_top(scores, k, divided))
    return words


def has_kernel(device: torch.device, num_tokens: int) -> bool:
    """On an H100, of 1024 tokens, it takes a quarter of the time of torch.topk and what follows, and no memory."""
    return device.type == "cuda" and num_tokens <= _MOST_TOKENS_OF_KERNEL and HAS_TRITON
