"""Dictionaries of an earlier call, for a later one on a picture of the same scene."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from semanir.windows import WindowGrid


class Dictionaries:
    """The key-semantic dictionaries that calls of one model build, kept for the calls that follow.

    Given to ``model(x, k, dictionaries)`` or :func:`semanir.restore_tiled`, the first call fills it and the later ones
    take what is there: their attention is over the keys that were alike in the picture of the first call. On the same
    picture the result is the same, bit by bit; how near it is on another, the caller must know, and :meth:`clear`
    makes the next call build anew. An input of another size, batch or k takes no other's dictionaries.

    They stay on the model's device: for each token of each stage ``window_size**2 / 8`` bytes a grid.
    """

    def __init__(self) -> None:
        self._stages: dict[tuple[int, WindowGrid, int, int], Tensor] = {}
        self._tiles: dict[tuple[int, int], Dictionaries] = {}

    def of_tile(self, origin: tuple[int, int]) -> Dictionaries:
        """Those of the tile that begins at ``origin``; its own, so that threads may each restore a tile."""
        return self._tiles.setdefault(origin, Dictionaries())

    def take(self, stage: int, grid: WindowGrid, k: int, batch: int, build: Callable[[], Tensor]) -> Tensor:
        """The dictionary of a stage and grid: the one that is there, or else what ``build`` makes, which stays."""
        key = (stage, grid, k, batch)
        if key not in self._stages:
            self._stages[key] = build()
        return self._stages[key]

    def clear(self) -> None:
        """Forget all, so that the next call builds anew."""
        self._stages.clear()
        self._tiles.clear()
