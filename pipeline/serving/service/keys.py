"""The keys that one pixel attends to, as the page draws them: the paper's figure for any picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.evaluation.key_maps import key_maps
from pipeline.memory import as_memory_error
from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.serving.service.asked import AskedPixel
from pipeline.serving.service.refusal import EXPECTED, Refused, refused_for
from pipeline.serving.service.settings import Limits
from semanir.config import check_k


@dataclass(frozen=True)
class StageKeys:
    """One stage. scale: side of a token in pixels of the network's input. keys: the kept tokens as (row, column)."""

    name: str
    scale: int
    keys: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class KeysOfPixel:
    """top, left, height, width: the part of the network's input that the model saw. y, x: the pixel, within the part.

    Tokens are counted from the part's corner.
    """

    k: int
    top: int
    left: int
    height: int
    width: int
    y: int
    x: int
    stages: tuple[StageKeys, ...]

    def plain(self) -> dict[str, Any]:
        """What JSON can say."""
        return asdict(self)


def keys_of_pixel(restorer: Restorer, data: bytes, asked: AskedPixel, limits: Limits) -> KeysOfPixel | Refused:
    """What the model's own dictionaries keep for the pixel; what cannot be is a ``Refused``."""
    k = restorer.config.k if asked.k is None else asked.k
    try:
        try:
            check_k(k, restorer.config.window_size)
        except ValueError as error:
            raise UserError(str(error)) from None
        network_input = restorer.prepare(read_picture(data, limits.max_pixels)).network_input
        image = network_input[0].numpy().transpose(1, 2, 0)
        with as_memory_error():
            maps = key_maps(restorer.model, image, (asked.y, asked.x), [k])
    except EXPECTED as error:
        return refused_for(error)
    height, width = maps.image.shape[:2]
    stages = tuple(
        StageKeys(name, scale, tuple((int(row), int(column)) for row, column in np.argwhere(kept[0])))
        for name, scale, kept in zip(maps.stages, maps.scales, maps.kept, strict=True)
    )
    y, x = maps.pixel
    return KeysOfPixel(k, asked.y - y, asked.x - x, height, width, y, x, stages)
