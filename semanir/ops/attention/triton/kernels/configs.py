"""Tile shapes that each kernel may choose from; the fastest on the device at hand is timed at its first call.

Every bf16 shape compiles for sm_90 without spilling a register (tests/semanir/ops/test_triton_compiled.py).
"""

from __future__ import annotations

from typing import Any

import triton

from semanir.ops.presence import INTERPRETING

Shape = tuple[int, int, int, int]  # BLOCK_Q, BLOCK_K, warps, pipeline stages

# Float32 products do not run on tensor cores: small tiles.
FLOAT32: tuple[Shape, ...] = ((32, 32, 4, 2),)
# The interpreter cannot time anything, so it gets one shape: two words a tile, unequal sides.
INTERPRETED: tuple[Shape, ...] = ((32, 64, 4, 1),)


def tuned(*low_precision: Shape) -> Any:
    """Decorator: choose among these shapes in bf16 and fp16, among FLOAT32's in float32.

    The choice is made once per process, number of tokens, head dimension and type. Within a process results are
    equal at every run; two processes may choose differently, and then differ by rounding.
    """
    shapes = INTERPRETED if INTERPRETING else (*low_precision, *FLOAT32)
    configs = [
        triton.Config({"BLOCK_Q": q, "BLOCK_K": k}, num_warps=warps, num_stages=stages)
        for q, k, warps, stages in shapes
    ]
    tune = triton.autotune(configs, key=["N", "D"], prune_configs_by={"early_config_prune": _fitting})
    even = triton.heuristics({"EVEN": lambda given: given["N"] % max(given["BLOCK_Q"], given["BLOCK_K"]) == 0})
    return lambda kernel: tune(even(kernel))


def _fitting(configs: list[triton.Config], tensors: dict[str, Any], **_: Any) -> list[triton.Config]:
    """Those of the type at hand whose tile is not larger than the window needs."""
    in_float32, num_tokens = tensors["query"].element_size() == 4, tensors["N"]
    small = FLOAT32[0][:2]
    right = [c for c in configs if ((c.kwargs["BLOCK_Q"], c.kwargs["BLOCK_K"]) == small) == in_float32]
    fitting = [c for c in right if max(c.kwargs["BLOCK_Q"], c.kwargs["BLOCK_K"]) < 2 * max(num_tokens, 32)]
    return fitting or right[:1]
