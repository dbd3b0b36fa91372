"""What ``jobs/benchmark.py model`` does: size, cost and speed of whole models, one row per model and backend."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

import semanir
from pipeline.benchmarks.clock import median_milliseconds
from pipeline.benchmarks.memory import peak_extra_bytes
from pipeline.benchmarks.model_parity import training_fault
from pipeline.benchmarks.parity import MODEL_TOLERANCE, ROUNDING_FACTOR, use_ieee_float32
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.errors import UserError
from semanir.ops.attention.call import AttentionCall
from semanir.ops.attention.choose import choose_backend

COLUMNS = {
    "model": "model", "input": "input", "window": "window", "k": "k", "parameters": "parameters",
    "gmacs": "GMACs", "dictionary_mib": "dictionary MiB", "dtype": "type", "backend": "backend",
    "forward_ms": "forward ms", "forward_mib": "forward MiB",
    "train_ms": "+ backward ms", "train_mib": "+ backward MiB", "error": "error", "status": "status",
}  # fmt: skip


def run_model(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a backend's output or gradients were wrong."""
    device = options.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu")
    use_ieee_float32()
    for name in options.models:
        semanir.model_config(name, **_overrides(options))  # what is no model is refused before anything is measured
    names = options.backends or default_backends(device)
    file = RowFile("model", options.output, machine(device))
    for name in options.models:
        for row in measure(name, names, options):
            file.add(**row)
            print(format_table(COLUMNS, [row]), flush=True)
    print(f"\n{format_table(COLUMNS, file.rows)}")
    return 1 if any(row["status"] != "ok" for row in file.rows) else 0


def _overrides(options: argparse.Namespace) -> dict[str, int]:
    given = {"window_size": options.window, "k": options.k}
    return {key: value for key, value in given.items() if value is not None}


def default_backends(device: str) -> list[str]:
    """``mask``, and what ``auto`` takes for training on the device in full and in low precision."""
    # Any shape at which a kernel is worth starting; see choose_backend.
    calls = [AttentionCall(torch.device(device), dtype, 256, 32, True) for dtype in (torch.float32, torch.bfloat16)]
    return list(dict.fromkeys(["mask", *map(choose_backend, calls)]))


def measure(name: str, backends: list[str], options: argparse.Namespace) -> list[Row]:
    """One row per backend. Float32 on a CPU, bf16 autocast on a GPU."""
    device, overrides = options.device, _overrides(options)
    models: dict[str, semanir.SemanIR] = {}
    for backend in dict.fromkeys(["mask", *backends]):
        torch.manual_seed(0)
        # A last convolution of zeros would hide the body from the comparison.
        models[backend] = semanir.create_model(name, attention=backend, zero_init_last=False, **overrides).to(device)
    reference = models["mask"]
    x = torch.rand(options.batch, reference.config.in_channels, options.size, options.size, device=device)
    cost = semanir.describe(reference, options.size, options.size)
    low = device == "cuda"

    def autocast() -> AbstractContextManager[object]:
        return torch.autocast("cuda", torch.bfloat16) if low else nullcontext()

    with torch.no_grad():
        exact = reference(x)
        limit = MODEL_TOLERANCE
        if low:
            with autocast():
                limit = ROUNDING_FACTOR * _error(reference(x), exact)
    rows: list[Row] = []
    for backend in backends:
        with torch.no_grad(), autocast():
            error = _error(models[backend](x), exact)
        rows.append(
            {
                "model": name, "input": f"{options.batch} x {options.size}²", "batch": options.batch,
                "size": options.size, "window": reference.config.window_size, "k": reference.config.k,
                "parameters": cost.parameters, "gmacs": cost.macs * options.batch / 1e9,
                "dictionary_mib": cost.dictionary_bytes * options.batch / 2**20,
                "dtype": "bfloat16" if low else "float32", "backend": backend, "error": error,
                "status": "ok" if error <= limit else f"wrong: limit {limit:.1e}",
            }
        )  # fmt: skip
        if rows[-1]["status"] == "ok" and (fault := training_fault(models[backend], x, low=low)):
            rows[-1]["status"] = f"wrong: {fault}"
    right = {row["backend"]: row for row in rows if row["status"] == "ok"}
    for kind, work in (("forward", _infer), ("train", _train)):
        calls: dict[str, Callable[[], None]] = {}
        for backend in right:
            calls[backend] = lambda model=models[backend], work=work: work(model, x, autocast)  # type: ignore[misc]
        for backend, milliseconds in median_milliseconds(calls, options.rounds, device).items():
            right[backend][f"{kind}_ms"] = milliseconds
            right[backend][f"{kind}_mib"] = peak_extra_bytes(calls[backend], device) / 2**20
    return rows


def _infer(model: semanir.SemanIR, x: Tensor, autocast: Callable[[], AbstractContextManager[object]]) -> None:
    with torch.no_grad(), autocast():
        model.eval()(x)


def _train(model: semanir.SemanIR, x: Tensor, autocast: Callable[[], AbstractContextManager[object]]) -> None:
    """Forward and backward, without an optimizer; gradients are dropped, so that every call allocates them alike."""
    with autocast():
        loss = model.train()(x).float().square().mean()
    loss.backward()
    model.zero_grad(set_to_none=True)


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact.double()).norm() / exact.double().norm())
