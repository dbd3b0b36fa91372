"""Cutting features into windows: plain and shifted grids, padding, and which tokens may see each other.

Shapes: B images, H x W features, Hp x Wp features padded to the grid, R windows per image, N tokens per window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class WindowGrid:
    """A regular grid of windows over H x W features, cyclically shifted by (shift_y, shift_x) tokens.

    A shifted window at the border joins tokens from opposite ends of the image, and the last windows may hold
    padding. :meth:`regions` labels the tokens so that only tokens which belong together are neighbors.
    """

    height: int
    width: int
    window_height: int
    window_width: int
    shift_y: int = 0
    shift_x: int = 0

    @property
    def rows(self) -> int:
        return -(-self.height // self.window_height)

    @property
    def columns(self) -> int:
        return -(-self.width // self.window_width)

    @property
    def num_windows(self) -> int:
        return self.rows * self.columns

    @property
    def num_tokens(self) -> int:
        return self.window_height * self.window_width

    @property
    def window(self) -> tuple[int, int]:
        return self.window_height, self.window_width

    def pad(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, Hp, Wp, C), zeros at the bottom and right."""
        bottom = self.rows * self.window_height - self.height
        right = self.columns * self.window_width - self.width
        return F.pad(x, (0, 0, 0, right, 0, bottom)) if bottom or right else x

    def crop(self, x: Tensor) -> Tensor:
        """(B, Hp, Wp, C) -> (B, H, W, C)."""
        return x[:, : self.height, : self.width]

    def partition(self, x: Tensor) -> Tensor:
        """(B, Hp, Wp, C) -> (B*R, N, C); window b*R + r is window r of image b, both row-major."""
        if self.shift_y or self.shift_x:
            x = torch.roll(x, (-self.shift_y, -self.shift_x), (1, 2))
        x = x.unflatten(2, (self.columns, self.window_width)).unflatten(1, (self.rows, self.window_height))
        return x.transpose(2, 3).reshape(-1, self.num_tokens, x.shape[-1])

    def merge(self, windows: Tensor) -> Tensor:
        """(B*R, N, C) -> (B, Hp, Wp, C), the inverse of :meth:`partition`."""
        x = windows.reshape(-1, self.rows, self.columns, self.window_height, self.window_width, windows.shape[-1])
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self.shift_y or self.shift_x:
            x = torch.roll(x, (self.shift_y, self.shift_x), (1, 2))
        return x

    def regions(self, device: torch.device) -> Tensor | None:
        """Labels (R, N), int32; tokens of one window may be neighbors only when their labels agree.

        None when every window is one region (no shift and no padding).
        """
        padded = self.rows * self.window_height != self.height or self.columns * self.window_width != self.width
        if not (padded or self.shift_y or self.shift_x):
            return None
        y = torch.arange(self.rows * self.window_height, device=device) + self.shift_y
        x = torch.arange(self.columns * self.window_width, device=device) + self.shift_x
        wrapped_y, wrapped_x = y >= len(y), x >= len(x)
        labels = 2 * wrapped_y.int()[:, None] + wrapped_x.int()[None, :]
        is_padding = ((y % len(y)) >= self.height)[:, None] | ((x % len(x)) >= self.width)[None, :]
        labels = torch.where(is_padding, 4, labels).int()
        labels = labels.reshape(self.rows, self.window_height, self.columns, self.window_width)
        return labels.transpose(1, 2).reshape(self.num_windows, self.num_tokens)


def plan_grids(height: int, width: int, window_size: int) -> tuple[WindowGrid, WindowGrid]:
    """The plain and the shifted grid (by half a window) for H x W features.

    An axis not longer than the window is one unshifted window of its own length, so the two grids are equal
    when neither axis is longer than the window.
    """
    window_height, window_width = min(height, window_size), min(width, window_size)
    shift_y = window_size // 2 if height > window_size else 0
    shift_x = window_size // 2 if width > window_size else 0
    plain = WindowGrid(height, width, window_height, window_width)
    return plain, WindowGrid(height, width, window_height, window_width, shift_y, shift_x)


def reflect_pad(image: Tensor, multiple: int) -> Tensor:
    """(B, C, H, W) -> height and width rounded up to a multiple, by reflection at the bottom and right edge.

    Unlike ``F.pad(mode="reflect")`` the pad may exceed the image: the reflection bounces back and forth.
    """
    for axis in (2, 3):
        size = image.shape[axis]
        extra = -size % multiple
        if extra:
            period = max(2 * (size - 1), 1)
            index = torch.arange(size + extra, device=image.device) % period
            image = image.index_select(axis, torch.where(index < size, index, period - index))
    return image
