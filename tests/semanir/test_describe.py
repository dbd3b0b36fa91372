"""Counts of describe against sums written out by hand and torch's own counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import semanir


def test_attention_and_dictionary_by_hand() -> None:
    model = semanir.create_model("columnar_tiny")  # 24 channels, 2 stages of 2 layers, window 8
    for k in (16, 32):
        found = semanir.describe(model, 24, 16, k)
        assert found.macs_attention == 4 * 24 * 16 * 2 * k * 24
        assert found.macs_dictionary == 2 * 2 * 24 * 16 * 64 * 24  # 2 grids a stage
        assert found.dictionary_bytes == 2 * 2 * 24 * 16 * 2 * 4
        assert found.parameters == 63_599
        assert found.macs == sum(
            (found.macs_convolution, found.macs_linear, found.macs_attention, found.macs_dictionary)
        )


@pytest.mark.parametrize("name", ["columnar_tiny", "ushape_tiny"])
def test_convolutions_and_linear_layers_against_torch(name: str) -> None:
    # With the reference backend torch's counter sees N keys per token: k = N makes both count the same.
    model = semanir.create_model(name, attention="mask").eval()
    with FlopCounterMode(display=False) as counter:  # with gradients: the counter does not know oneDNN's own product
        model(torch.rand(1, 3, 16, 24), 64)
    found = semanir.describe(model, 16, 24, 64)
    skip = 0 if name == "ushape_tiny" else 3 * (32 * 16 * 24 + 32 * 24 * 48)  # bicubic enlargement
    assert 2 * (found.macs - found.macs_dictionary + skip) == counter.get_total_flops()


def test_backward_costs_two_products_for_each_of_forward_s_and_dictionaries_none() -> None:
    """By torch's own counter, which leaves out what nobody needs: gradients of the image and of coordinates."""
    model = semanir.create_model("ushape_tiny", attention="mask").train()
    image = semanir.model_config("ushape_tiny").embed_dim * 3 * 9 * 16 * 24
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer.in_features == 2]
    coordinates = sum(layer.weight.numel() * 15 * 15 for layer in layers)  # of offsets in windows of 8 x 8
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(1, 3, 16, 24), 64).sum().backward()
    found = semanir.describe(model, 16, 24, 64)
    needed = found.macs_training - found.macs_dictionary - image - coordinates
    assert 2 * needed == counter.get_total_flops()
    assert found.macs_training == 3 * found.macs - 2 * found.macs_dictionary


def test_published_size_is_described_without_computing() -> None:
    with torch.device("meta"):
        model = semanir.create_model("ushape_base")
    small, large = semanir.describe(model, 256, 256, 64), semanir.describe(model, 256, 256, 512)
    assert large.macs_attention == 8 * small.macs_attention
    assert large.macs_linear == small.macs_linear
    with pytest.raises(ValueError, match="k is 1025"):
        semanir.describe(model, 256, 256, 1025)


def test_backend_does_not_show() -> None:
    """A kernel that cannot run on the meta device is counted like any other."""
    found = [
        semanir.describe(semanir.create_model("columnar_tiny", attention=name), 8, 8) for name in ("triton", "mask")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(("height", "width"), [(-1, 4), (4, 0), (4, 2.5), (True, 4), ("8", 8)])
def test_a_size_that_no_image_has_is_refused(height: Any, width: Any) -> None:
    with pytest.raises(ValueError, match="must be a whole number of pixels, 1 or more, got"):
        semanir.describe(semanir.create_model("columnar_tiny"), height, width)
