"""Counts how often the program reads values of tensors: on a GPU each read waits for all that is queued before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Methods of a tensor that need its values, by the names that Python calls them.
METHODS = {
    "item", "tolist", "numpy", "cpu", "nonzero", "__bool__", "__int__", "__float__", "__index__", "__complex__",
    "__format__", "__repr__", "__array__", "__contains__", "allclose", "equal", "is_nonzero", "unique", "argwhere",
    "masked_select",
}  # fmt: skip
# What they come down to, and what code that is not Python's calls; `tolist` and `cpu` of a CPU tensor call none.
OPERATORS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "_unique2", "allclose", "item"}


class _Methods(TorchFunctionMode):
    def __init__(self, reads: list[str]) -> None:
        super().__init__()
        self.reads, self.inside = reads, False

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        # A device that is no text is the one of the training, which on the CPU of a test is called "cpu" too.
        to_host = name == "to" and any(isinstance(given, str) and given == "cpu" for given in (*args, *kwargs.values()))
        if self.inside or not (name in METHODS or to_host):
            return func(*args, **kwargs)
        self.reads.append(name)
        self.inside = True  # the operators below belong to this read
        try:
            return func(*args, **kwargs)
        finally:
            self.inside = False


class _Operators(TorchDispatchMode):
    def __init__(self, reads: list[str], methods: _Methods) -> None:
        super().__init__()
        self.reads, self.methods = reads, methods

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name == "index" and any(str(index.dtype) == "torch.bool" for index in args[1] if index is not None)
        if not self.methods.inside and (name in OPERATORS or masked):
            self.reads.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted_reads() -> Iterator[list[str]]:
    """The names of all reads made inside, in order."""
    reads: list[str] = []
    methods = _Methods(reads)
    with methods, _Operators(reads, methods):
        yield reads
