"""Operators that ``torch.compile`` and ``torch.export`` see as one node, with their own backward pass.

As ``torch.library.custom_op``, without its price: that one imports ``torch._dynamo``, seconds in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# A library's operators live as long as the object does.
_LIBRARIES: list[torch.library.Library] = []


def opaque_op(
    schema: str,
    *,
    fake: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """Register the decorated function, for every device, as the operator of ``schema``; the operator takes its place.

    schema: ``"namespace::name(Tensor x, SymInt k) -> Tensor"`` (a plain ``int`` recompiles for each value).
    fake: shapes and dtypes of the outputs alone. backward, setup_context: as in ``torch.library.register_autograd``.
    """
    name = schema.partition("(")[0]
    namespace, _, operator = name.partition("::")

    def register(function: Callable[..., Any]) -> Any:
        library = torch.library.Library(namespace, "FRAGMENT")
        _LIBRARIES.append(library)
        library.define(schema.partition("::")[2])
        library.impl(operator, function, "CompositeExplicitAutograd")
        torch.library.register_fake(name, fake, lib=library)
        if backward is not None:
            torch.library.register_autograd(name, backward, setup_context=setup_context, lib=library)
        return getattr(getattr(torch.ops, namespace), operator).default

    return register
