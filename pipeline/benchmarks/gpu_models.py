"""The report's sections on whole models: a training step, restoring pictures, and large super-resolution."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import semanir
from pipeline.benchmarks.gpu_page import Section
from pipeline.benchmarks.gpu_sizes import Sizes
from pipeline.benchmarks.memory import peak_extra_bytes
from pipeline.benchmarks.parity import LOW_PRECISION_FACTOR, MODEL_TOLERANCE
from pipeline.benchmarks.rows import Row
from pipeline.benchmarks.training_step import Step
from semanir.layer import TransformerLayer

# Dense bf16 multiply-accumulates a second of a card, by a part of its name (makers' data sheets); others get no MFU.
PEAK_MACS = {"H100": 494e12, "H200": 494e12, "A100": 156e12, "L4": 60e12, "4090": 82e12}
OVERLAP = 16  # input pixels that neighboring tiles share, half of what restoring takes by default


_TRAINING = {
    "model": "model", "patch": "patch", "backend": "attention", "ms": "ms a step", "mib": "peak extra MiB",
    "mfu": "share of the card's peak", "status": "parity",
}  # fmt: skip


def training_section(sizes: Sizes, device: str) -> Section:
    """A training step"""
    cases = [(model, backend) for model in sizes.models for backend in ("mask", "auto")]
    rows = [_step(*model, backend, False, sizes, device) for model, backend in cases]
    return Section(f"A training step: batch {sizes.batch}, bf16 autocast, AdamW, one process", _TRAINING, rows)


def compiled_section(sizes: Sizes, device: str) -> Section:
    """A training step, layers compiled"""
    title = "A training step, each layer compiled by torch.compile"
    if device == "cpu":
        return Section(title, _TRAINING, [{"status": "not run on a CPU: compiling takes minutes"}])
    return Section(title, _TRAINING, [_step(*model, "auto", True, sizes, device) for model in sizes.models])


def _step(
    name: str, side: int, overrides: dict[str, int], backend: str, compiled: bool, sizes: Sizes, device: str
) -> Row:
    row: Row = {"model": name, "patch": side, "backend": backend}
    torch.manual_seed(0)
    model = semanir.create_model(name, attention=backend, **overrides).to(device).train()
    x = torch.rand(1, model.config.in_channels, side, side, device=device)
    fault = _differs(model, x)
    if fault:
        return {**row, "status": f"wrong: {fault}"}
    if compiled:
        _compile_layers(model)
    step = Step(model, device, side, sizes.batch)
    milliseconds = _each_in_a_row(step, sizes.rounds, device)
    macs = sizes.batch * semanir.describe(model, side, side).macs_training
    peak = _peak_macs(device)
    return {
        **row,
        "ms": milliseconds,
        "mib": peak_extra_bytes(step, device) / 2**20,
        "mfu": macs / (milliseconds / 1000) / peak if peak else None,
        "status": "ok",
    }


def _compile_layers(model: semanir.SemanIR) -> None:
    """Each layer for itself: those of one shape share what was compiled, so it takes seconds, not minutes."""
    torch._dynamo.config.recompile_limit = 64  # a graph per grid, level and mode
    for module in model.modules():
        if isinstance(module, TransformerLayer):
            module.compile(dynamic=False)


def _each_in_a_row(step: Callable[[], object], times: int, device: str) -> float:
    """Milliseconds of a step by the clock, as training goes: Python runs ahead of the device, and gaps count."""
    step()
    step()
    _wait(device)
    start = time.perf_counter()
    for _ in range(times):
        step()
    _wait(device)
    return 1000 * (time.perf_counter() - start) / times


def restoring_section(sizes: Sizes, device: str) -> Section:
    """Restoring pictures"""
    rows = []
    torch.manual_seed(0)
    model = semanir.create_model(sizes.restoring_model, zero_init_last=False).to(device).eval()
    for megapixels in sizes.restoring:
        side = round((1e6 * megapixels) ** 0.5)
        image = torch.rand(model.config.in_channels, side, side)
        row: Row = {"model": sizes.restoring_model, "megapixels": megapixels, "tile": sizes.tile}
        fault = _differs(model, image[None, :, : sizes.tile, : sizes.tile].to(device))
        if fault:
            rows.append({**row, "status": f"wrong: {fault}"})
            continue
        seconds, mib = _once(partial(semanir.restore_tiled, model, image, sizes.tile, OVERLAP), device)
        rows.append({**row, "seconds": seconds, "rate": megapixels / seconds, "mib": mib, "status": "ok"})
    columns = {
        "model": "model", "megapixels": "megapixels", "tile": "tile", "seconds": "seconds",
        "rate": "megapixels a second", "mib": "peak extra MiB", "status": "parity",
    }  # fmt: skip
    return Section("Restoring pictures in tiles, float32", columns, rows)


def super_resolution_section(sizes: Sizes, device: str) -> Section:
    """Super-resolution of one large image"""
    rows = []
    height, width = sizes.large
    for backend in ("mask", "auto"):
        torch.manual_seed(0)
        model = semanir.create_model(sizes.large_model, attention=backend, zero_init_last=False).to(device).eval()
        image = torch.rand(1, 3, height, width, device=device)
        row: Row = {"model": sizes.large_model, "input": f"{width}x{height}", "backend": backend}
        fault = _differs(model, image[..., :64, :64])

        @torch.no_grad()
        def work(model: semanir.SemanIR = model, image: Tensor = image) -> Tensor:
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                return model(image)

        if fault:
            rows.append({**row, "status": f"wrong: {fault}"})
            continue
        try:
            seconds, mib = _once(work, device)
        except torch.cuda.OutOfMemoryError:
            rows.append({**row, "status": "out of memory"})
            continue
        rows.append({**row, "seconds": seconds, "gib": mib / 1024, "status": "ok"})
    columns = {
        "model": "model", "input": "input", "backend": "attention", "seconds": "seconds", "gib": "peak extra GiB",
        "status": "parity",
    }  # fmt: skip
    return Section("Super-resolution x2 of one whole image, bf16", columns, rows)


def _differs(model: semanir.SemanIR, x: Tensor) -> str:
    """What is wrong with the model's output against the readable reference in float32; empty when nothing is."""
    twin = semanir.build_model(semanir.ModelConfig.from_dict({**model.config.to_dict(), "attention": "mask"}))
    twin.load_state_dict(model.state_dict())
    twin = twin.to(x.device).eval()
    low = x.device.type == "cuda"
    with torch.no_grad():
        exact = twin(x)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
            found, reference = model(x).float(), twin(x).float()
    scale = exact.norm() + 1e-12
    error, limit = float((found - exact).norm() / scale), MODEL_TOLERANCE
    if low:
        limit += LOW_PRECISION_FACTOR * float((reference - exact).norm() / scale)
    return "" if error <= limit else f"error {error:.1e}, limit {limit:.1e}"


def _once(work: Callable[[], object], device: str) -> tuple[float, float]:
    """(seconds of the second call, MiB at its peak beyond what was there); the first call warms up."""
    mib = peak_extra_bytes(work, device) / 2**20
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start, mib


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _peak_macs(device: str) -> float | None:
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    return next((peak for part, peak in PEAK_MACS.items() if part in name), None)
