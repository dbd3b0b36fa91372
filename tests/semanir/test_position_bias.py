"""The position bias depends on the offset alone, and on the same offset alike in every window."""

from __future__ import annotations

import torch

from semanir.position_bias import PositionBias, expand_bias


def test_pairs_read_their_offset() -> None:
    table = torch.arange(2 * 5 * 7.0).view(2, 5, 7)
    bias = expand_bias(table, (3, 4))
    for query in range(12):
        for key in range(12):
            dy, dx = query // 4 - key // 4, query % 4 - key % 4
            assert torch.equal(bias[:, query, key], table[:, 2 + dy, 3 + dx])


def test_gradient_sums_over_pairs() -> None:
    table = torch.randn(1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: expand_bias(t, (3, 3)), (table,))


def test_clamped_window_keeps_the_meaning_of_an_offset() -> None:
    module = PositionBias(num_heads=3, window_size=8, hidden_dim=16)
    torch.testing.assert_close(module.table((8, 8))[:, 4:-4, 2:-2], module.table((4, 6)))


def test_range() -> None:
    module = PositionBias(num_heads=3, window_size=8, hidden_dim=16)
    table = module.table((8, 8))
    assert table.min() > 0
    assert table.max() < 16
    assert PositionBias(1, 1, 4)((1, 1)).shape == (1, 1, 1)
