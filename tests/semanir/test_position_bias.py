"""The position bias depends on the offset alone, and on the same offset alike in every window."""

from __future__ import annotations

import torch

from semanir.position_bias import PositionBias, expand_bias, log_spaced


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


def test_coordinates_are_those_of_swin_v2() -> None:
    """``sign(t) * log2(|t| + 1) / log2(8)`` of ``t = 8 * offset / (window - 1)``, worked out by hand."""
    found = log_spaced(torch.tensor([-7.0, -1.0, 0.0, 1.0, 3.5, 7.0]), window_size=8)
    # log2(9) / 3, log2(15 / 7) / 3, 0, ..., log2(5) / 3
    expected = torch.tensor([-1.056642, -0.366504, 0.0, 0.366504, 0.773976, 1.056642])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(log_spaced(torch.tensor([31.0]), 32), torch.tensor([1.056642]), rtol=0, atol=1e-5)


def test_bias_of_known_weights() -> None:
    """One hidden unit that passes dy through: 16 * sigmoid(coordinate of dy), and 8 where it is cut off."""
    module = PositionBias(num_heads=1, window_size=8, hidden_dim=1)
    first, last = module.mlp[0], module.mlp[2]
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0]]))
        first.bias.zero_()
        last.weight.fill_(1.0)
        column = module.table((8, 8))[0, :, 3]
    torch.testing.assert_close(column[:8], torch.full((8,), 8.0))
    assert abs(float(column[-1]) - 16 / (1 + 2.718281828**-1.056642)) < 1e-4
