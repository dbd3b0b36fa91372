"""Small changes are made in part, large ones whole, as the mean square around each pixel says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import semanir
from semanir.caution import Caution, cautious

CAUTION = Caution(0.25, 2.0, 4.0)


def by_hand(change: Tensor, share: float, low: float, high: float) -> Tensor:
    """Pixel by pixel, of one image (C, H, W)."""
    made = torch.empty_like(change)
    _, height, width = change.shape
    for y in range(height):
        for x in range(width):
            around = change[:, max(0, y - 16) : y + 17, max(0, x - 16) : x + 17].double() * 255
            level = float((around**2).mean()) ** 0.5
            whole = min(max((level - low) / (high - low), 0.0), 1.0)
            made[:, y, x] = change[:, y, x] * (share + (1 - share) * whole)
    return made


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (37, 16)])
def test_as_by_hand(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(height)
    ramp = torch.linspace(0, 6 / 255, width)  # from nothing to six gray levels
    change = torch.randn(2, 3, height, width, generator=generator) * ramp
    expected = torch.stack([by_hand(one, *CAUTION) for one in change])
    assert torch.allclose(cautious(change, CAUTION), expected, rtol=1e-4, atol=1e-7)


def test_half_a_change_harms_less_than_all_of_it() -> None:
    """Half of what is noise and half of what is truth: a quarter of either is left or lost, so nobody loses."""
    generator = torch.Generator().manual_seed(0)
    noise, truth = torch.randn(2, 1, 1, 64, 64, generator=generator) / 255
    made = cautious(-noise - truth, Caution(0.5, 2.0, 4.0))
    left = (noise + made).square().mean()
    assert left < 0.6 * noise.square().mean()
    assert left < 0.6 * truth.square().mean()


def test_large_changes_are_made_whole_and_none_at_all_stays_none() -> None:
    large = torch.full((1, 3, 9, 9), 5 / 255)
    assert torch.equal(cautious(large, CAUTION), large)
    assert torch.equal(cautious(torch.zeros(1, 3, 9, 9), CAUTION), torch.zeros(1, 3, 9, 9))


def test_gradients_are_finite_where_nothing_changes() -> None:
    change = torch.zeros(1, 1, 4, 4, requires_grad=True)
    cautious(change, CAUTION).sum().backward()
    assert torch.equal(change.grad if change.grad is not None else torch.empty(0), torch.full((1, 1, 4, 4), 0.25))


def test_a_model_makes_its_change_so() -> None:
    torch.manual_seed(0)
    bold = semanir.create_model("ushape_tiny", zero_init_last=False).eval()
    careful = semanir.create_model("ushape_tiny", zero_init_last=False, caution=(0.25, 2, 40)).eval()
    careful.load_state_dict(bold.state_dict())
    image = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        for parameter in (*bold.conv_last.parameters(), *careful.conv_last.parameters()):
            parameter *= 0.05
        change = bold(image) - image
        assert not torch.equal(careful(image), bold(image))
        assert torch.allclose(careful(image), image + cautious(change, Caution(0.25, 2, 40)), atol=1e-6)
