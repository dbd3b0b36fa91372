"""The weights that a run starts from: ``model.init``, fitted to another number of colors or another scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

import semanir
from pipeline.errors import UserError, first_line
from pipeline.shipped import is_shipped, locate
from pipeline.storage.fetch import fetch_folder

FIRST, LAST = "conv_first.", "conv_last."
OF_A_SCALE = ("upsample.", LAST)  # what enlarges: of other shapes at another scale, and of another meaning


def load_initial(model: semanir.SemanIR, uri: str) -> None:
    """Copy the weights in the folder ``uri`` into ``model``: a fine-tuning run's start.

    The weights are those of the same model, or of one that differs only in

    - color: a gray model starts as what the color one does to gray images, see :func:`in_gray`;
    - scale: all but what enlarges is taken, as SwinIR (Liang et al. 2021, section 4.2) starts x3 and x4 from x2.

    Raises:
        UserError: nothing there, or the weights are another model's.
    """
    with TemporaryDirectory() as folder:
        place = locate(uri) if is_shipped(uri) else fetch_folder(uri, Path(folder) / "weights")
        try:
            given = semanir.load(place)
        except (ValueError, FileNotFoundError) as error:
            raise UserError(f"model.init {uri}: {first_line(error)}") from None
    state = given.state_dict()
    wanted, config = model.config, given.config
    if (config.in_channels, config.out_channels) == (3, 3) and (wanted.in_channels, wanted.out_channels) == (1, 1):
        state, config = in_gray(given), replace(config, in_channels=1, out_channels=1)
    if config.upscale != wanted.upscale and config.family == wanted.family == "columnar":
        fresh = {name: value for name, value in model.state_dict().items() if name.startswith(OF_A_SCALE)}
        state = {name: value for name, value in state.items() if not name.startswith(OF_A_SCALE)} | fresh
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"model.init {uri}: not this model's weights ({str(error).splitlines()[-1].strip()}); name weights of the "
            "same model, of its color model, or of it at another scale"
        ) from None


def in_gray(color: semanir.SemanIR) -> dict[str, Tensor]:
    """Weights of the gray model that returns the mean color of what ``color`` makes of a gray image.

    Exactly so but for the image's border, where a color model pads with its mean color and a gray one with black.
    """
    state = dict(color.state_dict())
    first, last = state[FIRST + "weight"], state[LAST + "weight"]
    state[FIRST + "weight"] = first.sum(dim=1, keepdim=True)
    state[FIRST + "bias"] = state[FIRST + "bias"] - (first * color.input_mean).sum(dim=(1, 2, 3))
    state[LAST + "weight"] = last.mean(dim=0, keepdim=True)
    skipped = 0.0 if color.config.image_skip else color.output_mean.mean()
    state[LAST + "bias"] = state[LAST + "bias"].mean(dim=0, keepdim=True) + skipped
    return state
