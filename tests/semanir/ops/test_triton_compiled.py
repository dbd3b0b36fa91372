"""Every kernel compiles for sm_90 without a GPU, and no shape that a GPU would choose from spills a register."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.backends.nvidia.compiler import get_ptxas  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from semanir.ops.attention.triton import launch  # noqa: E402
from semanir.ops.attention.triton.kernels import configs  # noqa: E402
from semanir.ops.attention.triton.kernels.configs import FLOAT32  # noqa: E402

TUNED = {
    "forward": launch.forward_kernel,
    "backward_query": launch.backward_query_kernel,
    "backward_key": launch.backward_key_kernel,
    "backward_bias": launch.backward_bias_kernel,
}
TOKENS = {"query", "key", "value", "bias", "out", "grad", "grad_query", "grad_key", "grad_value"}
PLAIN_INTEGERS = {"H", "M", "num_words", "windows_per_chunk"}  # no promise of divisibility by 16


def shapes(kernel: Any, float32: bool) -> list[tuple[int, int, int, int]]:
    """BLOCK_Q, BLOCK_K, warps and stages that the kernel may choose from."""
    every = [(c.kwargs["BLOCK_Q"], c.kwargs["BLOCK_K"], c.num_warps, c.num_stages) for c in kernel.configs]
    return [shape for shape in every if (shape in FLOAT32) == float32]


def resources(
    kernel: Any, shape: tuple[int, int, int, int], folder: Path, dtype: str = "bf16", even: bool = True
) -> tuple[int, int]:
    """(registers, spilled bytes) of one compiled kernel at head dimension 32, from ``ptxas -v`` on its PTX."""
    block_q, block_k, warps, stages = shape
    while not isinstance(kernel, triton.runtime.JITFunction):
        kernel = kernel.fn
    fixed = {"D": 32, "BLOCK_D": 32, "BLOCK_Q": block_q, "BLOCK_K": block_k, "EVEN": even, "BLOCK": 64}
    signature: dict[str, str] = {}
    constants: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], list] = {}
    for index, name in enumerate(kernel.arg_names):
        if name in fixed:
            signature[name], constants[index,] = "constexpr", fixed[name]
            continue
        is_integer = name in PLAIN_INTEGERS or name == "N" or "stride" in name
        pointer = f"*{dtype}" if name in TOKENS else "*i32" if name == "words" else "*fp32"
        signature[name] = "i32" if is_integer else pointer
        if name not in PLAIN_INTEGERS and (even or name != "N"):
            attributes[index,] = [["tt.divisibility", 16]]
    compiled = triton.compile(
        ASTSource(kernel, signature, constants, attributes),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps, "num_stages": stages},
    )
    ptx = folder / "kernel.ptx"
    ptx.write_text(compiled.asm["ptx"])
    ptxas = [get_ptxas(90).path, "-v", "--gpu-name=sm_90a", str(ptx), "-o", str(folder / "kernel.cubin")]
    done = subprocess.run(ptxas, capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    registers, spilled = re.search(r"Used (\d+) registers", said), re.findall(r"(\d+) bytes spill", said)
    assert registers, said
    assert len(spilled) == 2, said
    return int(registers[1]), sum(map(int, spilled))


@pytest.mark.parametrize(
    "name", [name if name == "forward" else pytest.param(name, marks=pytest.mark.slow) for name in TUNED]
)
def test_no_spills(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """bf16, head dimension 32; N is a run-time argument, so windows 16 and 32 run the same compiled kernels."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    measured = {shape: resources(TUNED[name], shape, tmp_path) for shape in shapes(TUNED[name], float32=False)}
    with capsys.disabled():
        for (block_q, block_k, warps, stages), (registers, spilled) in measured.items():
            tile = f"{block_q} x {block_k}, {warps} warps, {stages} stages"
            sys.stdout.write(f"\nsm_90 bf16 {name:14} {tile:29} {registers:3} registers, {spilled} bytes spilled")
    assert len(measured) >= 2
    assert all(spilled == 0 for _, spilled in measured.values())


def test_factors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    assert resources(launch.factors_kernel, (64, 64, 4, 2), tmp_path)[1] == 0


@pytest.mark.parametrize(
    ("dtype", "num_tokens", "largest"),
    [
        (torch.bfloat16, 1024, 128),
        (torch.bfloat16, 64, 64),  # a tile of 128 queries would be half empty
        (torch.bfloat16, 9, 64),  # smaller than every tile: the first one serves
        (torch.float32, 1024, 32),
    ],
)
def test_shapes_fit_type_and_window(dtype: torch.dtype, num_tokens: int, largest: int) -> None:
    given = {"query": torch.empty(1, dtype=dtype), "N": num_tokens}
    fitting = configs._fitting(launch.forward_kernel.configs, given)
    assert max(max(c.kwargs["BLOCK_Q"], c.kwargs["BLOCK_K"]) for c in fitting) == largest


@pytest.mark.parametrize(("windows", "heads", "tokens"), [(128, 6, 256), (32, 6, 1024), (512, 6, 64), (1, 1, 4096)])
def test_chunks_of_windows_cover_all_within_bounds(windows: int, heads: int, tokens: int) -> None:
    chunks, per_chunk = launch.bias_chunks(windows, heads, tokens)
    assert (chunks - 1) * per_chunk < windows <= chunks * per_chunk
    assert chunks == 1 or 4 * chunks * heads * tokens**2 <= launch._PARTIAL_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("name", TUNED)
@pytest.mark.parametrize(("dtype", "even"), [("bf16", False), ("fp16", True), ("fp32", True), ("fp32", False)])
def test_other_types_and_odd_windows_compile(
    name: str, dtype: str, even: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    for shape in shapes(TUNED[name], float32=dtype == "fp32"):
        registers, _ = resources(TUNED[name], shape, tmp_path, dtype, even)
        assert registers <= 255
