"""The window plan as tensor arithmetic, so that one graph serves every height and width.

The same plan as :mod:`semanir.windows`, computed from the sizes at run time. Features are not padded: a padding token
reads any real one instead, which is harmless because it is of a region of its own and is never written back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from semanir.export.graph import Graph, Value


@dataclass(frozen=True)
class WindowPlan:
    """One grid of windows over H x W tokens.

    cut: (R * N,) the token that each place of the R windows reads. join: (H * W,) the place that each token returns
    from. same: (R, N, N) whether two places of a window may be neighbors. num_tokens: N, of shape (1,).
    """

    cut: Value
    join: Value
    same: Value
    num_tokens: Value


@dataclass(frozen=True)
class Axis:
    """One axis of the plan; every size is int64 of shape (1,)."""

    size: Value
    window: Value
    count: Value
    shift: Value

    @classmethod
    def of(cls, graph: Graph, size: Value, window_size: int, shifted: bool) -> Axis:
        """As :func:`semanir.windows.plan_grids`: an axis not longer than the window is one unshifted window."""
        window = graph.minimum(size, graph.ints(window_size))
        shift = graph.where(size > window_size, window_size // 2 if shifted else 0, 0)
        return cls(size, window, (size + window - 1) // window, shift)


@dataclass(frozen=True)
class Level:
    """What all stages at one resolution share: the two grids, and where a pair of tokens finds its position bias.

    pairs: (N, N) index into a bias table of (2 * window_size - 1)**2 offsets.
    """

    plain: WindowPlan
    shifted: WindowPlan
    pairs: Value


def plan_level(graph: Graph, height: Value, width: Value, window_size: int) -> Level:
    """height, width: of the features, int64 of shape (1,)."""
    plain, shifted = (
        _plan(graph, *(Axis.of(graph, size, window_size, shift) for size in (height, width))) for shift in (False, True)
    )
    return Level(plain, shifted, _pairs(graph, height, width, window_size))


def _plan(graph: Graph, rows: Axis, columns: Axis) -> WindowPlan:
    by_axis = [_positions(graph, axis) for axis in (rows, columns)]
    (y, wrapped_y, padding_y), (x, wrapped_x, padding_x) = by_axis
    num_tokens = rows.window * columns.window
    cells = rows.count, rows.window, columns.count, columns.window

    def to_windows(values: Value) -> Value:
        """(Hp, Wp) -> (R, N), row-major."""
        ordered = graph.transpose(graph.reshape(values, *cells), 0, 2, 1, 3)
        return graph.reshape(ordered, rows.count * columns.count, num_tokens)

    cut = graph.reshape(to_windows(graph.column(y) * columns.size + x), -1)
    is_padding = graph.op("Or", graph.column(padding_y), padding_x)
    labels = to_windows(graph.where(is_padding, 4, graph.column(wrapped_y) * 2 + wrapped_x))
    one, two = (graph.op("Unsqueeze", labels, axis) for axis in (graph.ints(2), graph.ints(1)))

    (row, in_row), (column, in_column) = (_homes(graph, axis) for axis in (rows, columns))
    window = graph.column(row) * columns.count + column
    place = graph.column(in_row) * columns.window + in_column
    return WindowPlan(cut, graph.reshape(window * num_tokens + place, -1), one.equals(two), num_tokens)


def _positions(graph: Graph, axis: Axis) -> tuple[Value, Value, Value]:
    """Per place of the padded, shifted axis: the token it reads, whether it wrapped around (0, 1), whether it pads."""
    padded = axis.count * axis.window
    position = graph.arange(padded) + axis.shift
    token = position % padded
    wrapped = graph.op("Cast", position >= padded, to=torch.int64)
    return graph.minimum(token, axis.size - 1), wrapped, token >= axis.size


def _homes(graph: Graph, axis: Axis) -> tuple[Value, Value]:
    """Per token of the axis: its window, and its place in it."""
    padded = axis.count * axis.window
    position = (graph.arange(axis.size) + padded - axis.shift) % padded
    return position // axis.window, position % axis.window


def _pairs(graph: Graph, height: Value, width: Value, window_size: int) -> Value:
    """(N, N): the table's entry for query i and key j lies at their offset, as in ``PositionBias.table``."""
    span = 2 * window_size - 1
    window_height, window_width = (graph.minimum(size, graph.ints(window_size)) for size in (height, width))
    tokens = graph.arange(window_height * window_width)
    y, x = tokens // window_width, tokens % window_width
    dy, dx = graph.column(y) - y, graph.column(x) - x
    return (dy + (window_size - 1)) * span + (dx + (window_size - 1))
