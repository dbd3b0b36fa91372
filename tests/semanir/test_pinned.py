"""Constants and orders of operations that the paper's skeletons fix, each pinned by a value worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

import semanir
from semanir.layer import KeySemanticAttention, TransformerLayer
from semanir.windows import plan_grids

CONFIG = semanir.model_config("ushape_tiny")
EVERY_KEY = torch.full((1, 4, 1), 0b1111, dtype=torch.int32)


def test_mean_of_div2k() -> None:
    """SwinIR's and GRL's ``rgb_mean``; a gray input is not shifted."""
    model = semanir.create_model("columnar_tiny")
    assert model.input_mean.flatten().tolist() == pytest.approx([0.4488, 0.4371, 0.4040])
    assert semanir.create_model("ushape_tiny", in_channels=1, out_channels=1).input_mean.tolist() == [[[[0.0]]]]


def test_logit_scale_starts_at_ten_and_stops_at_a_hundred() -> None:
    attention = KeySemanticAttention(CONFIG, dim=4, num_heads=2)
    assert attention.logit_scale.exp().tolist() == pytest.approx([10.0, 10.0])
    windows, outputs = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0)), []
    for scale in (99.0, 100.0, 250.0):
        with torch.no_grad():
            attention.logit_scale.fill_(math.log(scale))
            outputs.append(attention(windows, EVERY_KEY, (2, 2)))
    assert torch.equal(outputs[1], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


def test_norms_stand_after_attention_and_mlp() -> None:
    """Residual post-norm: with the norms' weights at zero, a layer adds its norms' biases and nothing else."""
    layer = TransformerLayer(CONFIG, dim=4, num_heads=1)
    x = torch.rand(1, 2, 2, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for norm, bias in ((layer.norm1, 0.5), (layer.norm2, 0.25)):
            norm.weight.zero_()
            norm.bias.fill_(bias)
        out = layer(x, plan_grids(2, 2, 2)[0], EVERY_KEY)
    torch.testing.assert_close(out, x + 0.75)


def test_activations() -> None:
    """Exact GELU in the MLP (Swin), LeakyReLU of slope 0.01 before the upsampler (SwinIR's code)."""
    widen = TransformerLayer(CONFIG, dim=4, num_heads=1).mlp[0]
    torch.nn.init.constant_(widen.bias, -1.0)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            activated = widen(torch.zeros(1, 4)).unique()
        assert activated.tolist() == pytest.approx([-0.158655], abs=1e-6)  # -Φ(-1); the tanh form gives -0.158808
    leaky = semanir.create_model("columnar_tiny").conv_before_upsample[1]
    assert float(leaky(torch.tensor(-2.0))) == pytest.approx(-0.02)


def test_initial_weights() -> None:
    """Linear layers: normal of 0.02, as in Swin; biases zero."""
    torch.manual_seed(0)
    linear = semanir.create_model("ushape_tiny", embed_dim=64).latent.layers[0].mlp[0]
    assert float(linear.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert not linear.bias.any()
