"""The network's building blocks as ONNX operators: convolutions, norms, one transformer layer, one stage."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

from torch import nn

from semanir.caution import LEAST_ENERGY, REACH, UNIT, Caution
from semanir.export.attention import additive_mask, attention
from semanir.export.graph import Graph, Value
from semanir.export.windows import Level
from semanir.layer import TransformerLayer
from semanir.stage import Stage


def convolution(graph: Graph, module: nn.Conv2d, x: Value, name: str) -> Value:
    """As the module, with its own kernel size, padding and bias."""
    weight = graph.weight(f"{name}.weight", module.weight)
    bias = None if module.bias is None else graph.weight(f"{name}.bias", module.bias)
    pads = [int(pad) for pad in module.padding] * 2
    return graph.op("Conv", x, weight, bias, kernel_shape=list(module.kernel_size), pads=pads)


def layer_norm(graph: Graph, module: nn.LayerNorm, x: Value, name: str) -> Value:
    """Over the last axis."""
    scale, shift = graph.weight(f"{name}.weight", module.weight), graph.weight(f"{name}.bias", module.bias)
    return graph.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=module.eps)


def channel_norm(graph: Graph, module: nn.LayerNorm, x: Value, name: str) -> Value:
    """(B, C, H, W), over C."""
    normed = layer_norm(graph, module, graph.transpose(x, 0, 2, 3, 1), name)
    return graph.transpose(normed, 0, 3, 1, 2)


def cautious(graph: Graph, change: Value, caution: Caution) -> Value:
    """As :func:`semanir.caution.cautious`."""
    levels = change * (255 / UNIT)
    energy = graph.op("ReduceMean", levels * levels, axes=[1], keepdims=1)
    around = 2 * REACH + 1
    for kernel, pads in (([1, around], [0, REACH, 0, REACH]), ([around, 1], [REACH, 0, REACH, 0])):
        energy = graph.op("AveragePool", energy, kernel_shape=kernel, pads=pads, count_include_pad=0)
    level = graph.op("Sqrt", graph.op("Max", energy, LEAST_ENERGY)) * UNIT
    whole = graph.op("Clip", (level - caution.low) * (1 / (caution.high - caution.low)), 0.0, 1.0)
    return change * (whole * (1 - caution.share) + caution.share)


def linear(graph: Graph, module: nn.Linear, x: Value, name: str) -> Value:
    product = x @ graph.weight(f"{name}.weight", module.weight.mT)
    return product + graph.weight(f"{name}.bias", module.bias)


def gelu(graph: Graph, x: Value) -> Value:
    """The exact form, written as runtimes recognize it and fuse it."""
    return graph.op("Erf", graph.op("Div", x, math.sqrt(2))) * x * 0.5 + x * 0.5


def transformer_layer(
    graph: Graph, module: TransformerLayer, tokens: Value, level: Level, shifted: bool, mask: Value
) -> Value:
    """(B, H * W, C) -> (B, H * W, C)."""
    plan = level.shifted if shifted else level.plain
    dim = module.norm1.normalized_shape[0]
    windows = graph.reshape(graph.take(tokens, plan.cut, axis=1), -1, plan.num_tokens, dim)
    with graph.scope("attention"):
        windows = attention(graph, module.attention, windows, mask, level.pairs)
    batch = graph.size(tokens, 0)
    attended = graph.take(graph.reshape(windows, batch, -1, dim), plan.join, axis=1)
    tokens = tokens + layer_norm(graph, module.norm1, attended, "norm1")
    first, last = cast(nn.Linear, module.mlp[0]), cast(nn.Linear, module.mlp[2])
    hidden = gelu(graph, linear(graph, first, tokens, "mlp.0"))
    return tokens + layer_norm(graph, module.norm2, linear(graph, last, hidden, "mlp.2"), "norm2")


def stage(graph: Graph, module: Stage, x: Value, level: Level, k: Value) -> Value:
    """(B, C, H, W) -> (B, C, H, W). Dictionaries are built once, at the entry."""
    dim = module.conv.in_channels
    height, width = graph.size(x, 2), graph.size(x, 3)
    tokens = graph.transpose(graph.reshape(x, 0, dim, -1), 0, 2, 1)
    masks = {}
    for shifted in dict.fromkeys(module.shifted):
        plan = level.shifted if shifted else level.plain
        windows = graph.reshape(graph.take(tokens, plan.cut, axis=1), -1, plan.num_tokens, dim)
        masks[shifted] = additive_mask(graph, windows, plan, k)
    layers = cast("Iterable[TransformerLayer]", module.layers)
    for index, (layer, shifted) in enumerate(zip(layers, module.shifted, strict=True)):
        with graph.scope(f"layers.{index}"):
            tokens = transformer_layer(graph, layer, tokens, level, shifted, masks[shifted])
    features = graph.reshape(graph.transpose(tokens, 0, 2, 1), 0, dim, height, width)
    return x + convolution(graph, module.conv, features, "conv")
