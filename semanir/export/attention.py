"""The key-semantic dictionary and the attention over it, in operators that every ONNX runtime has.

TopK breaks ties by the lowest index, which is the dictionary's own rule, and takes k as an input; ScatterElements turns
its indices into an additive mask.
"""

from __future__ import annotations

import torch

from semanir.export.graph import Graph, Value
from semanir.export.windows import WindowPlan
from semanir.layer import LARGEST_LOGIT_SCALE, KeySemanticAttention

# What a dropped key adds to its score: exp gives zero in float32 and float16 alike, and no runtime meets an infinity.
_DROPPED = -30000.0


def additive_mask(graph: Graph, windows: Value, plan: WindowPlan, k: Value) -> Value:
    """(M, N, C) features, k of shape (1,) -> (M, 1, N, N): 0 where the dictionary keeps the key, very low elsewhere.

    Similarities are in float32 whatever the graph's type, as in :func:`semanir.ops.key_semantic_dictionary`.
    """
    features = graph.op("Cast", windows, to=torch.float32) if graph.dtype != torch.float32 else windows
    scores = features @ graph.transpose(features, 0, 2, 1)
    lowest = torch.tensor(torch.finfo(torch.float32).min)
    shape = graph.op("Shape", scores)
    num_windows = graph.size(plan.same, 0)
    by_image = graph.reshape(scores, -1, num_windows, plan.num_tokens, plan.num_tokens)
    allowed = graph.where(plan.same, by_image, lowest)
    scores = graph.op("Reshape", allowed, shape)
    _, kept = graph.ops("TopK", 2, scores, graph.minimum(k, plan.num_tokens), axis=-1, largest=1, sorted=1)
    dropped = graph.op("ConstantOfShape", shape, value=torch.tensor([_DROPPED], dtype=graph.dtype))
    zeros = graph.op("ConstantOfShape", graph.op("Shape", kept), value=torch.zeros(1, dtype=graph.dtype))
    mask = graph.op("ScatterElements", dropped, kept, zeros, axis=-1)
    # A region smaller than k: the rest of its row came from outside.
    by_image = graph.reshape(mask, -1, num_windows, plan.num_tokens, plan.num_tokens)
    mask = graph.where(plan.same, by_image, torch.tensor(_DROPPED, dtype=graph.dtype))
    return graph.reshape(mask, -1, 1, plan.num_tokens, plan.num_tokens)


def attention(graph: Graph, module: KeySemanticAttention, windows: Value, mask: Value, pairs: Value) -> Value:
    """(M, N, C) -> (M, N, C), as :class:`semanir.layer.KeySemanticAttention`."""
    heads, head_dim = module.qkv.num_heads, module.head_dim
    dim = heads * head_dim
    qkv = windows @ graph.weight("qkv.weight", module.qkv.weight.mT) + graph.weight("qkv.bias", module.qkv.bias)
    # (M, N, 3, H, d): zeros in Reshape keep the first two sizes.
    qkv = graph.transpose(graph.reshape(qkv, 0, 0, 3, heads, head_dim), 2, 0, 3, 1, 4)
    query, key, value = (graph.take(qkv, graph.value(part), axis=0) for part in range(3))

    scale = module.logit_scale.detach().clamp(max=LARGEST_LOGIT_SCALE).exp().view(1, heads, 1, 1)
    query = normalize(graph, query) * graph.weight("scale", scale)
    scores = query @ graph.transpose(normalize(graph, key), 0, 1, 3, 2)

    window_size = module.position_bias.window_size
    table = module.position_bias.table((window_size, window_size)).flatten(1)
    scores = scores + graph.take(graph.weight("position_bias", table), pairs, axis=1) + mask
    mixed = graph.transpose(graph.op("Softmax", scores, axis=-1) @ value, 0, 2, 1, 3)
    mixed = graph.reshape(mixed, 0, 0, dim)
    return mixed @ graph.weight("proj.weight", module.proj.weight.mT) + graph.weight("proj.bias", module.proj.bias)


def normalize(graph: Graph, tokens: Value) -> Value:
    """To length one along the last axis, as ``torch.nn.functional.normalize``."""
    length = graph.op("ReduceL2", tokens, axes=[-1], keepdims=1)
    smallest = 1e-12 if graph.dtype == torch.float32 else 1e-4
    return graph.op("Div", tokens, graph.op("Max", length, smallest))
