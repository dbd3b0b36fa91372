"""Both body shapes as ONNX operators, any image size and k in one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import torch
from torch import nn

from semanir.columnar import Columnar
from semanir.config import Family
from semanir.export.enlarge import enlarge
from semanir.export.graph import Graph, Value
from semanir.export.layers import cautious, channel_norm, convolution, stage
from semanir.export.windows import Level, plan_level
from semanir.network import SemanIR
from semanir.stage import Stage
from semanir.ushape import UShape


def network(graph: Graph, model: SemanIR, image: Value, k: Value) -> Value:
    """(B, C, H, W), k of shape (1,) -> (B, C_out, H * upscale, W * upscale), as ``model(image, k)``."""
    config = model.config
    height, width = graph.size(image, 2), graph.size(image, 3)
    padded = reflect_pad(graph, image, height, width, config.size_multiple)
    centered = padded - graph.weight("input_mean", model.input_mean)
    residual = _BODIES[config.family](graph, model, centered, k)
    if config.caution is not None:
        residual = cautious(graph, residual, config.caution)
    if not config.image_skip:
        out = residual + graph.weight("output_mean", model.output_mean)
    else:
        out = residual + (enlarge(graph, padded, config.upscale) if config.upscale > 1 else padded)
    ends = graph.ints(height * config.upscale, width * config.upscale)
    return graph.op("Slice", out, torch.tensor([0, 0]), ends, torch.tensor([2, 3]))


def reflect_pad(graph: Graph, image: Value, height: Value, width: Value, multiple: int) -> Value:
    """As :func:`semanir.windows.reflect_pad`: by index, since the pad may exceed a small image."""
    if multiple == 1:
        return image
    for axis, size in ((2, height), (3, width)):
        padded = (size + (multiple - 1)) // multiple * multiple
        period = graph.op("Max", (size - 1) * 2, 1)
        index = graph.arange(padded) % period
        image = graph.take(image, graph.where(size > index, index, period - index), axis)
    return image


def columnar(graph: Graph, model: Columnar, x: Value, k: Value) -> Value:
    level = plan_level(graph, graph.size(x, 2), graph.size(x, 3), model.config.window_size)
    shallow = convolution(graph, model.conv_first, x, "conv_first")
    deep = channel_norm(graph, model.norm_first, shallow, "norm_first")
    for index, module in enumerate(cast("Iterable[Stage]", model.stages)):
        with graph.scope(f"stages.{index}"):
            deep = stage(graph, module, deep, level, k)
    deep = channel_norm(graph, model.norm_last, deep, "norm_last")
    features = shallow + convolution(graph, model.conv_after_body, deep, "conv_after_body")
    before, leaky = model.conv_before_upsample
    features = convolution(graph, cast(nn.Conv2d, before), features, "conv_before_upsample.0")
    features = graph.op("LeakyRelu", features, alpha=cast(nn.LeakyReLU, leaky).negative_slope)
    for index, step in enumerate(model.upsample):
        features = convolution_or_shuffle(graph, step, features, f"upsample.{index}")
    return convolution(graph, model.conv_last, features, "conv_last")


def ushape(graph: Graph, model: UShape, x: Value, k: Value) -> Value:
    levels = _levels(graph, model, x)
    shallow = convolution(graph, model.conv_first, x, "conv_first")
    deep = channel_norm(graph, model.norm_first, shallow, "norm_first")
    skips = []
    encoder = cast("Iterable[Stage]", model.encoder)
    for index, (module, down) in enumerate(zip(encoder, cast("Iterable[nn.Sequential]", model.downs), strict=True)):
        with graph.scope(f"encoder.{index}"):
            deep = stage(graph, module, deep, levels[index], k)
        skips.append(deep)
        deep = halve(graph, cast(nn.Conv2d, down[1]), deep, f"downs.{index}")
    with graph.scope("latent"):
        deep = stage(graph, model.latent, deep, levels[-1], k)
    ups, joins = cast("Iterable[nn.Sequential]", model.ups), cast("Iterable[nn.Conv2d]", model.joins)
    decoder = cast("Iterable[Stage]", model.decoder)
    for index, (up, join, module) in enumerate(zip(ups, joins, decoder, strict=True)):
        for position, part in enumerate(up):
            deep = convolution_or_shuffle(graph, part, deep, f"ups.{index}.{position}")
        joined = graph.op("Concat", deep, skips.pop(), axis=1)
        with graph.scope(f"decoder.{index}"):
            deep = convolution(graph, join, joined, "join")
            deep = stage(graph, module, deep, levels[len(skips)], k)
    for index, module in enumerate(cast("Iterable[Stage]", model.refinement)):
        with graph.scope(f"refinement.{index}"):
            deep = stage(graph, module, deep, levels[0], k)
    deep = channel_norm(graph, model.norm_last, deep, "norm_last")
    features = shallow + convolution(graph, model.conv_after_body, deep, "conv_after_body")
    return convolution(graph, model.conv_last, features, "conv_last")


def convolution_or_shuffle(graph: Graph, module: nn.Module, x: Value, name: str) -> Value:
    """One step of an upsampler. ONNX's CRD order is that of PyTorch's pixel shuffle."""
    if isinstance(module, nn.Conv2d):
        return convolution(graph, module, x, name)
    if isinstance(module, nn.PixelShuffle):
        return graph.op("DepthToSpace", x, blocksize=module.upscale_factor, mode="CRD")
    raise ValueError(f"{name} is a {type(module).__name__}, which this export does not know")


def halve(graph: Graph, module: nn.Conv2d, x: Value, name: str) -> Value:
    """Pixel-unshuffle by two and a 1x1 convolution: together one convolution of 2x2 pixels with stride 2."""
    out_channels, channels = module.weight.shape[0], module.weight.shape[1] // 4
    weight = graph.weight(f"{name}.weight", module.weight.reshape(out_channels, channels, 2, 2))
    bias = None if module.bias is None else graph.weight(f"{name}.bias", module.bias)
    return graph.op("Conv", x, weight, bias, kernel_shape=[2, 2], strides=[2, 2])


def _levels(graph: Graph, model: UShape, x: Value) -> list[Level]:
    """The image is a multiple of 2**(levels - 1), so every halving is exact."""
    height, width = graph.size(x, 2), graph.size(x, 3)
    levels = []
    for level in range(model.config.levels):
        with graph.scope(f"level_{level}"):
            levels.append(plan_level(graph, height // 2**level, width // 2**level, model.config.window_size))
    return levels


_BODIES: Mapping[Family, Callable[..., Value]] = {"columnar": columnar, "ushape": ushape}
