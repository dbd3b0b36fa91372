"""The kernel that selects a dictionary's keys compiles for sm_90 without a GPU, in one warp, and spills no register."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.backends.nvidia.compiler import get_ptxas  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from semanir.ops.dictionary.select_kernel import _ENTRIES, select_kernel  # noqa: E402

POINTERS = {"scores": "*fp32", "regions": "*i32", "words": "*i32"}


@pytest.mark.parametrize("tokens", [64, pytest.param(1024, marks=pytest.mark.slow)])
def test_no_spills(tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    fixed = {"HAS_REGIONS": True, "ROWS": _ENTRIES // tokens, "BLOCK_N": tokens}
    signature: dict[str, str] = {}
    constants: dict[tuple[int, ...], Any] = {}
    for index, name in enumerate(select_kernel.arg_names):
        signature[name] = "constexpr" if name in fixed else POINTERS.get(name, "i32")
        if name in fixed:
            constants[index,] = fixed[name]
    compiled = triton.compile(
        ASTSource(select_kernel, signature, constants), target=GPUTarget("cuda", 90, 32), options={"num_warps": 1}
    )
    ptx = tmp_path / "kernel.ptx"
    ptx.write_text(compiled.asm["ptx"])
    ptxas = [get_ptxas(90).path, "-v", "--gpu-name=sm_90a", str(ptx), "-o", str(tmp_path / "kernel.cubin")]
    done = subprocess.run(ptxas, capture_output=True, text=True, check=True)
    spilled = re.findall(r"(\d+) bytes spill", done.stdout + done.stderr)
    assert [*map(int, spilled)] == [0, 0], done.stderr
