"""Run a piece of an exported graph by itself, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from semanir.export import file
from semanir.export.graph import Graph, Value

_TYPES = {torch.float32: onnx.TensorProto.FLOAT, torch.int64: onnx.TensorProto.INT64, torch.bool: onnx.TensorProto.BOOL}


def run_graph(build: Callable[..., Value], *inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """``build(graph, *values)`` with one value per input; returns its output, of type ``dtype``."""
    graph = Graph()
    values = [Value(graph, f"input_{index}") for index in range(len(inputs))]
    out = build(graph, *values)
    info = onnx.helper.make_tensor_value_info
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            file.nodes_of(graph),
            "piece",
            [info(v.name, _TYPES[x.dtype], [None] * x.dim()) for v, x in zip(values, inputs, strict=True)],
            [info(out.name, _TYPES[dtype], None)],
            file.tensors_of(graph),
        ),
        opset_imports=[onnx.helper.make_opsetid("", file.OPSET)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {value.name: np.asarray(x) for value, x in zip(values, inputs, strict=True)}
    return torch.from_numpy(session.run(None, given)[0])
