"""A whole stage against a computation pixel by pixel that shares no code with it: windows, shifts, edges, attention."""

from __future__ import annotations

import pytest
import torch

import semanir
from semanir.stage import Stage
from tests.semanir.stage_by_hand import stage_by_hand


@pytest.mark.parametrize("backend", ["auto", "mask"])
@pytest.mark.parametrize(
    ("height", "width", "k"),
    [(8, 8, 5), (9, 6, 5), (4, 11, 3), (3, 2, 16), (8, 5, 16), (1, 1, 1)],
    ids=["fits", "padded", "one_window_high", "smaller_than_a_window", "every_key", "one_pixel"],
)
def test_equals_the_computation_by_hand(height: int, width: int, k: int, backend: str) -> None:
    torch.manual_seed(0)
    config = semanir.model_config("ushape_tiny", embed_dim=6, num_heads=2, window_size=4, k=4, attention=backend)
    stage = Stage(config, dim=6, num_heads=2, depth=2, index=0)
    with torch.no_grad():
        for name, parameter in stage.named_parameters():
            if "logit_scale" not in name and "norm" not in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.4)
        x = torch.randn(1, 6, height, width)
        found = stage(x, k)[0]
        weights = {name: parameter.double() for name, parameter in stage.named_parameters()}
        expected = stage_by_hand(weights, x[0].double(), window=4, heads=2, depth=2, k=k)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
