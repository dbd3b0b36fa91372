"""Which keys a chosen pixel uses: the paper's figure, read from the model's own dictionaries.

Every stage builds its dictionary from the features at its entry. So those features are caught there, the stage builds
its dictionary once more, and the row of the pixel's token is laid out over the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import semanir
from pipeline.degradations.image import Image
from pipeline.errors import UserError
from semanir.ops.dictionary.bits import unpack_bits
from semanir.stage import Stage
from semanir.tiling import DEFAULT_OVERLAP, default_tile, tile_grid
from semanir.windows import WindowGrid, plan_grids


@dataclass(frozen=True)
class KeyMaps:
    """image: the part of the network's input that is shown (H, W, C). pixel: (y, x) in it.

    kept[stage][k]: boolean map of the tokens of that stage, True where the pixel's token keeps the key. scales: pixels
    a side that a token of each stage stands for. reach: pixels around the pixel within which all its keys lie.
    """

    image: Image
    pixel: tuple[int, int]
    stages: tuple[str, ...]
    ks: tuple[int, ...]
    kept: tuple[tuple[NDArray[np.bool_], ...], ...]
    scales: tuple[int, ...]
    reach: int


def key_maps(model: semanir.SemanIR, image: Image, pixel: tuple[int, int], ks: Sequence[int]) -> KeyMaps:
    """Maps of one pixel of the network input ``image`` (H, W, C), for each stage and each k, on the unshifted grid.

    The model sees the tile of the image that evaluation would give it, so memory is bounded.

    Raises UserError for a pixel outside the image.
    """
    y, x = pixel
    height, width = image.shape[:2]
    if not (0 <= y < height and 0 <= x < width):
        raise UserError(f"pixel {y},{x} is outside the network's input of {height}x{width} (row,column from 0)")
    grid, tile = tile_grid(model), default_tile(model)
    top, left = (_origin(at, size, tile, grid) for at, size in ((y, height), (x, width)))
    part = image[top : top + tile, left : left + tile]
    stages = [(name, module) for name, module in model.named_modules() if isinstance(module, Stage)]
    kept: list[list[NDArray[np.bool_]]] = [[] for _ in stages]
    padded_height = -(-part.shape[0] // model.config.size_multiple) * model.config.size_multiple
    scales = [0 for _ in stages]
    network_input = torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None]
    with torch.inference_mode():
        for k in ks:
            with _entries([stage for _, stage in stages]) as features:
                model(network_input.to(next(model.parameters()).device), k=k)
            for number, (_, stage) in enumerate(stages):
                scales[number] = padded_height // features[number].shape[2]
                token = ((y - top) // scales[number], (x - left) // scales[number])
                kept[number].append(_token_map(stage, features[number], token, k))
    return KeyMaps(
        image=part,
        pixel=(y - top, x - left),
        stages=tuple(name for name, _ in stages),
        ks=tuple(ks),
        kept=tuple(tuple(row) for row in kept),
        scales=tuple(scales),
        reach=grid,
    )


def _origin(at: int, size: int, tile: int, grid: int) -> int:
    step = (tile - DEFAULT_OVERLAP) // grid * grid
    return max(0, min(at // step * step, (size - 1) // step * step))


@contextmanager
def _entries(stages: Sequence[Stage]) -> Iterator[list[Tensor]]:
    """The features (1, C, H, W) that enter each stage, in the order of ``stages``, once the model has run."""
    found: dict[int, Tensor] = {}

    def keep(number: int) -> Any:
        return lambda module, arguments: found.__setitem__(number, arguments[0])

    handles = [stage.register_forward_pre_hook(keep(number)) for number, stage in enumerate(stages)]
    features: list[Tensor] = []
    try:
        yield features
        features += [found[number] for number in range(len(stages))]
    finally:
        for handle in handles:
            handle.remove()


def _token_map(stage: Stage, x: Tensor, at: tuple[int, int], k: int) -> NDArray[np.bool_]:
    """The keys of the token at (row, column) as a map of the stage's tokens (H, W)."""
    height, width = x.shape[2:]
    plain, _ = plan_grids(height, width, stage.config.window_size)
    tokens = plain.pad(x.permute(0, 2, 3, 1))
    words = stage.build_dictionary(tokens, plain, k)
    window, token = _place(plain, *at)
    keep = torch.zeros(plain.num_windows, plain.num_tokens, 1, dtype=torch.bool)
    keep[window, :, 0] = unpack_bits(words[window, token], plain.num_tokens).cpu()
    laid_out: NDArray[np.bool_] = plain.crop(plain.merge(keep))[0, :, :, 0].numpy()
    return laid_out


def _place(grid: WindowGrid, y: int, x: int) -> tuple[int, int]:
    """(window, token) of a feature on the unshifted grid."""
    window = y // grid.window_height * grid.columns + x // grid.window_width
    return window, y % grid.window_height * grid.window_width + x % grid.window_width
