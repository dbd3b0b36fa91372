"""A graph of ONNX operators, written down as the network is written: values with arithmetic, and named operators.

Nothing here imports ``onnx``: a graph is a list of nodes and a dictionary of tensors until :mod:`semanir.export.file`
makes a file of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Value:
    """A tensor of the graph. ``+ - * // % >= >`` and ``==`` by :meth:`equals` add the operator to its graph.

    ``//`` and ``%`` are for integers that are not negative: ONNX's Div rounds toward zero.
    """

    graph: Graph
    name: str

    def __add__(self, other: Any) -> Value:
        return self.graph.op("Add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self.graph.op("Add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self.graph.op("Sub", self, other)

    def __mul__(self, other: Any) -> Value:
        return self.graph.op("Mul", self, other)

    def __floordiv__(self, other: Any) -> Value:
        return self.graph.op("Div", self, other)

    def __mod__(self, other: Any) -> Value:
        return self.graph.op("Mod", self, other)

    def __matmul__(self, other: Any) -> Value:
        return self.graph.op("MatMul", self, other)

    def __ge__(self, other: Any) -> Value:
        return self.graph.op("GreaterOrEqual", self, other)

    def __gt__(self, other: Any) -> Value:
        return self.graph.op("Greater", self, other)

    def equals(self, other: Any) -> Value:
        return self.graph.op("Equal", self, other)


@dataclass(frozen=True)
class Node:
    """One operator of ONNX's standard domain."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass
class Graph:
    """Nodes in order, and the tensors that they read.

    dtype: of floating-point tensors. Python integers become int64, floats ``dtype``, torch tensors stay as they are.
    """

    dtype: torch.dtype = torch.float32
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    _scope: list[str] = field(default_factory=list)
    _small: dict[tuple[str, tuple[int, ...], tuple[float, ...]], Value] = field(default_factory=dict)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of the nodes within start with ``name``, as a module's parameters do."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    def op(self, kind: str, *inputs: Any, **attributes: Any) -> Value:
        """Add an operator with one output."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: Any, **attributes: Any) -> list[Value]:
        """Add an operator. None leaves an optional input out."""
        name = ".".join([*self._scope, f"{kind}_{len(self.nodes)}"])
        names = tuple(f"{name}:{index}" if outputs > 1 else name for index in range(outputs))
        given = tuple("" if value is None else self.value(value).name for value in inputs)
        self.nodes.append(Node(kind, name, given, names, attributes))
        return [Value(self, output) for output in names]

    def value(self, operand: Any) -> Value:
        """The operand as a value of this graph; equal small constants are stored once."""
        if isinstance(operand, Value):
            return operand
        if not isinstance(operand, Tensor):
            operand = torch.tensor(operand, dtype=self.dtype if isinstance(operand, float) else torch.int64)
        if operand.numel() > 16:
            return self.tensor(f"constant_{len(self.tensors)}", operand)
        key = str(operand.dtype), tuple(operand.shape), tuple(operand.flatten().tolist())
        if key not in self._small:
            self._small[key] = self.tensor(f"constant_{len(self.tensors)}", operand)
        return self._small[key]

    def tensor(self, name: str, tensor: Tensor) -> Value:
        """A tensor stored in the file, under the name of the scope and its own."""
        full = ".".join([*self._scope, name])
        if full in self.tensors:
            raise ValueError(f"tensor {full} is in the graph already")
        self.tensors[full] = tensor.detach().cpu().contiguous()
        return Value(self, full)

    def weight(self, name: str, tensor: Tensor) -> Value:
        """A parameter, in the graph's floating-point type."""
        return self.tensor(name, tensor.detach().to(self.dtype))

    def size(self, value: Value, axis: int) -> Value:
        """Length of an axis, int64 of shape (1,)."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def ints(self, *parts: Value | int) -> Value:
        """Sizes of shape (1,) and plain integers joined into one shape or index list."""
        return self.op("Concat", *(p if isinstance(p, Value) else torch.tensor([p]) for p in parts), axis=0)

    def reshape(self, value: Value, *shape: Value | int) -> Value:
        if all(isinstance(part, int) for part in shape):
            return self.op("Reshape", value, torch.tensor(shape))
        return self.op("Reshape", value, self.ints(*shape))

    def transpose(self, value: Value, *axes: int) -> Value:
        return self.op("Transpose", value, perm=list(axes))

    def take(self, value: Value, index: Value, axis: int) -> Value:
        return self.op("Gather", value, index, axis=axis)

    def arange(self, size: Value) -> Value:
        """0 .. size - 1 for a size of shape (1,)."""
        return self.op("Range", 0, self.op("Squeeze", size), 1)

    def where(self, condition: Value, yes: Any, no: Any) -> Value:
        return self.op("Where", condition, yes, no)

    def minimum(self, a: Any, b: Any) -> Value:
        return self.op("Min", a, b)

    def column(self, value: Value) -> Value:
        """(n,) -> (n, 1)."""
        return self.op("Unsqueeze", value, torch.tensor([1]))
