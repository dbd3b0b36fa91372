"""An array restored by a model: how every figure is made, from a network input to an image in [0, 1].

Three others call the model, and all four cut and blend with ``semanir.tiling``:
``pipeline.restoring.restorer`` keeps what lies outside [0, 1] until it has mixed by strength, says how many tiles are
done, and takes an image whole where a person asks for it; ``pipeline.serving.tile_batches`` puts tiles of several
images into one batch for a GPU; ``pipeline.registry.served_model`` travels with a registered model and runs where
nothing of this package is installed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import semanir
from pipeline.degradations.image import Image
from semanir.tiling import DEFAULT_OVERLAP, default_tile


def restore_image(
    model: semanir.SemanIR, image: Image, k: int | None = None, tile: int | None = None,
    overlap: int = DEFAULT_OVERLAP, self_ensemble: bool = False,
) -> Image:  # fmt: skip
    """Restore the network input ``image`` (H, W, C) in [0, 1], tile by tile; returns (H·s, W·s, C) in [0, 1].

    tile: side in input pixels, which bounds memory whatever the image's size; None: about 256, as the model's window
    grid allows. self_ensemble: the mean over the eight flips and turns of the input (Timofte et al., "Seven ways to
    improve example-based single image super resolution", CVPR 2016).
    """
    device = next(model.parameters()).device
    side = default_tile(model, overlap) if tile is None else tile
    x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(device)

    def restore(view: Tensor) -> Tensor:
        return semanir.restore_tiled(model, view, side, overlap, k=k)

    with torch.inference_mode():
        y = _mean_over_symmetries(restore, x) if self_ensemble else restore(x)
    return y[0].clamp(0, 1).cpu().numpy().transpose(1, 2, 0)


def _mean_over_symmetries(restore: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    total: Tensor | None = None
    for flip in (False, True):
        for turns in range(4):
            view = torch.rot90(x.flip(-1) if flip else x, turns, (-2, -1)).contiguous()
            back = torch.rot90(restore(view), -turns, (-2, -1))
            back = back.flip(-1) if flip else back
            total = back if total is None else total + back
    assert total is not None
    return total / 8
