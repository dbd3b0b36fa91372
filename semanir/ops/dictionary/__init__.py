"""Which keys each token keeps: the key-semantic dictionary of one stage, as packed bits."""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.ops.dictionary.build import build_dictionary


def key_semantic_dictionary(
    windows: Tensor, k: int, regions: Tensor | None = None, *, check_finite: bool = False
) -> Tensor:
    """For every token its k most similar tokens of the same window, by dot product.

    windows: features (M, N, C), any float dtype; similarities are accumulated in float32, without gradient.
    k: keys per row; a row keeps min(k, tokens of its region), so at least one. Above N it means N.
    regions: int32 labels (R, N) with M a multiple of R; window m uses row m % R. Only tokens with equal
        labels may be neighbors. None: every window is one region.
    check_finite: raise when features hold NaN or infinity (synchronizes the device).

    Returns int32 words (M, N, ceil(N / 32)): bit j % 32 of word j // 32 in row i says that token i keeps key j. Each
    row equals the first keys of a stable descending sort: ties go to the lowest index, and -0.0 ties with +0.0.

    Raises ValueError for a wrong shape, k < 1, or features that are not finite when asked to check.
    """
    if windows.dim() != 3:
        raise ValueError(f"windows must have shape (windows, tokens, channels), got {tuple(windows.shape)}")
    if k < 1:
        raise ValueError(f"k is {k}, but every token keeps at least 1 key")
    num_windows, num_tokens, _ = windows.shape
    if regions is not None and (regions.dim() != 2 or regions.shape[1] != num_tokens or num_windows % regions.shape[0]):
        raise ValueError(
            f"regions must have shape (R, {num_tokens}) with {num_windows} windows a multiple of R, "
            f"got {tuple(regions.shape)}"
        )
    if check_finite and not torch.isfinite(windows).all():
        bad = int((~torch.isfinite(windows)).sum())
        raise ValueError(f"{bad} of {windows.numel()} features are NaN or infinite")
    return build_dictionary(windows.detach(), k, regions)
