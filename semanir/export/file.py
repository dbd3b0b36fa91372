"""One ONNX file per model: any batch, height, width and k, weights inside, standard operators only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from semanir.export.graph import Graph, Value
from semanir.export.networks import network
from semanir.network import SemanIR

if TYPE_CHECKING:
    import onnx

OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8  # of the same release, so that runtimes of 2022 read the file
SEAL = "content_sha256"
# A file is one protobuf message, which cannot be longer.
_LARGEST_BYTES = 2**31 - 1


def to_onnx(
    model: SemanIR,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    *,
    fixed_k: int | None = None,
    half: bool = False,
    names: tuple[str, str] = ("image", "restored"),
) -> None:
    """Write ``model`` as one ONNX file.

    The file's inputs are ``image`` (batch, channels, height, width), float32 in [0, 1], any sizes from 1, and ``k``, an
    int64 scalar: keys per token (outside 1..window_size**2 the nearest of the two counts). Its output is ``restored``
    (batch, out_channels, height * upscale, width * upscale), float32, not clipped. The image is computed whole, with
    all scores of a layer at once: restore large images tile by tile.

    metadata: names and texts kept in the file, beside the model's configuration and a seal over all of the file.
    fixed_k: leave the input ``k`` out and always keep that many, for programs that know images only.
    half: weights and arithmetic in float16 (similarities stay float32); input and output stay float32.
    names: of the image and of the output, where a program asks for its own.

    Raises ValueError for metadata that is not text or takes a name of its own, or a k that the model does not allow;
    RuntimeError when the package ``onnx`` is missing.
    """
    proto = build(model, metadata or {}, fixed_k=fixed_k, half=half, names=names)
    content = proto.SerializeToString(deterministic=True)
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"the file would have {len(content)} bytes, but ONNX without external data ends at 2 GiB")
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def build(
    model: SemanIR,
    metadata: Mapping[str, str],
    *,
    fixed_k: int | None = None,
    half: bool = False,
    names: tuple[str, str] = ("image", "restored"),
) -> onnx.ModelProto:
    """As :func:`to_onnx`, in memory."""
    import json

    from semanir.config import check_k

    onnx = _require_onnx()
    config = model.config
    own = {"semanir_config": json.dumps(config.to_dict(), sort_keys=True)}
    for name, text in metadata.items():
        if not isinstance(name, str) or not isinstance(text, str) or name in (*own, SEAL):
            raise ValueError(f"metadata {name!r}: {text!r}: names and texts are strings, and {name!r} must be free")
    if fixed_k is not None:
        check_k(fixed_k, config.window_size)

    graph = Graph(torch.float16 if half else torch.float32)
    with torch.no_grad():
        image, k = Value(graph, names[0]), Value(graph, "k")
        keys = graph.ints(fixed_k) if fixed_k is not None else graph.reshape(graph.op("Max", k, 1), 1)
        first = graph.op("Cast", image, to=torch.float16) if half else image
        out = network(graph, model, first, keys)
        graph.ops("Cast", 1, out, to=torch.float32)
    last = graph.nodes[-1]
    graph.nodes[-1] = type(last)(last.kind, last.name, last.inputs, names[1:], last.attributes)

    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(names[0], float32, ["batch", config.in_channels, "height", "width"])]
    if fixed_k is None:
        inputs.append(helper.make_tensor_value_info("k", onnx.TensorProto.INT64, []))
    sizes = ["height", "width"] if config.upscale == 1 else [f"{config.upscale}*{axis}" for axis in ("height", "width")]
    outputs = [helper.make_tensor_value_info(names[1], float32, ["batch", config.out_channels, *sizes])]
    proto = helper.make_model(
        helper.make_graph(nodes_of(graph), "semanir", inputs, outputs, tensors_of(graph)),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="semanir",
    )
    helper.set_model_props(proto, {**metadata, **own})
    helper.set_model_props(proto, {**metadata, **own, SEAL: _content_digest(proto)})
    onnx.checker.check_model(proto, full_check=True)
    return proto


def nodes_of(graph: Graph) -> list[onnx.NodeProto]:
    onnx = _require_onnx()
    return [
        onnx.helper.make_node(
            node.kind,
            list(node.inputs),
            list(node.outputs),
            name=node.name,
            **{name: _attribute(onnx, value) for name, value in node.attributes.items()},
        )
        for node in graph.nodes
    ]


def tensors_of(graph: Graph) -> list[onnx.TensorProto]:
    onnx = _require_onnx()
    return [_tensor(onnx, name, tensor) for name, tensor in graph.tensors.items()]


def read_onnx_metadata(path: str | Path) -> dict[str, str]:
    """The texts in a file that :func:`to_onnx` wrote.

    Raises ValueError, in one line, for a file that is no ONNX model, is not one of ours, or was altered since.
    """
    onnx = _require_onnx()
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(Path(path).read_bytes())
    except Exception as error:  # protobuf's own classes differ between its implementations
        raise ValueError(f"{path} is no ONNX model ({type(error).__name__})") from None
    found = {entry.key: entry.value for entry in proto.metadata_props}
    if SEAL not in found:
        raise ValueError(f"{path} was not written by semanir: it has no {SEAL}")
    seal = found.pop(SEAL)
    onnx.helper.set_model_props(proto, found)
    if _content_digest(proto) != seal:
        raise ValueError(f"{path} was altered: its content does not match its {SEAL}")
    return found


def _content_digest(proto: onnx.ModelProto) -> str:
    return hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()


def _attribute(onnx: Any, value: Any) -> Any:
    if isinstance(value, Tensor):
        return _tensor(onnx, "", value)
    return _onnx_type(onnx, value) if isinstance(value, torch.dtype) else value


def _tensor(onnx: Any, name: str, tensor: Tensor) -> Any:
    raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return onnx.helper.make_tensor(name, _onnx_type(onnx, tensor.dtype), list(tensor.shape), raw, raw=True)


def _onnx_type(onnx: Any, dtype: torch.dtype) -> int:
    kinds = {torch.float32: "FLOAT", torch.float16: "FLOAT16", torch.int64: "INT64"}
    return int(getattr(onnx.TensorProto, kinds[dtype]))


def _require_onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError:
        raise RuntimeError("exporting needs the package onnx: pip install 'semanir-on-ray[export]'") from None
    return onnx
