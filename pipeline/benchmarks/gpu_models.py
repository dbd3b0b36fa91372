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
from pipeline.benchmarks.model_parity import output_fault, training_fault
from pipeline.benchmarks.rows import Row
from pipeline.benchmarks.training_step import Step
from semanir.layer import TransformerLayer

# Dense bf16 multiply-accumulates a second of a card, by a part of its name (makers' data sheets); others get no MFU.
PEAK_MACS = {"H100": 494e12, "H200": 494e12, "A100": 156e12, "L4": 60e12, "4090": 82e12}
OVERLAP = 16  # input pixels that neighboring tiles share, half of what restoring takes by default
CHECKED_SIDE = 64  # of the part of a large image that is compared: the twin may not hold all of it

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
    title = f"A training step, each layer compiled by torch.compile: batch {sizes.batch}, bf16 autocast"
    if device == "cpu":
        return Section(title, _TRAINING, [{"status": "not run on a CPU: compiling takes minutes"}])
    return Section(title, _TRAINING, [_step(*model, "auto", True, sizes, device) for model in sizes.models])


def _step(
    name: str, side: int, overrides: dict[str, int], backend: str, compiled: bool, sizes: Sizes, device: str
) -> Row:
    row: Row = {"model": name, "patch": side, "backend": backend}
    torch.manual_seed(0)
    # A last convolution of zeros would hide the body from the comparison.
    model = semanir.create_model(name, attention=backend, zero_init_last=False, **overrides).to(device).train()
    if compiled:
        _compile_layers(model)
    step = Step(model, device, side, sizes.batch)
    try:
        fault = training_fault(model, step.lq, low=True)
        if fault:
            return {**row, "status": f"wrong: {fault}"}
        milliseconds = _each_in_a_row(step, sizes.rounds, device)
        mib = peak_extra_bytes(step, device) / 2**20
    except torch.cuda.OutOfMemoryError:
        return {**row, "status": "out of memory"}
    macs = sizes.batch * semanir.describe(model, side, side).macs_training
    peak = _peak_macs(device)
    share = macs / (milliseconds / 1000) / peak if peak else None
    return {**row, "ms": milliseconds, "mib": mib, "mfu": share, "status": "ok"}


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
        # Two by two tiles, restored as the whole will be.
        part = image[:, : 2 * sizes.tile - OVERLAP, : 2 * sizes.tile - OVERLAP]
        fault = output_fault(model, partial(_in_tiles, part, sizes.tile), low=False)
        if fault:
            rows.append({**row, "status": f"wrong: {fault}"})
            continue
        seconds, mib = _once(partial(semanir.restore_tiled, model, image, sizes.tile, OVERLAP), device)
        rows.append({**row, "seconds": seconds, "rate": megapixels / seconds, "mib": mib, "status": "ok"})
    columns = {
        "model": "model", "megapixels": "megapixels", "tile": "tile", "seconds": "seconds",
        "rate": "megapixels a second", "mib": "peak extra MiB", "status": "parity, of 2 x 2 tiles",
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
        part = image[..., :CHECKED_SIDE, :CHECKED_SIDE]

        @torch.no_grad()
        def work(model: semanir.SemanIR = model, image: Tensor = image) -> Tensor:
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                return model(image)

        try:
            fault = output_fault(model, partial(_whole, part), low=device == "cuda")
            if fault:
                rows.append({**row, "status": f"wrong: {fault}"})
                continue
            seconds, mib = _once(work, device)
        except torch.cuda.OutOfMemoryError:
            rows.append({**row, "status": "out of memory"})
            continue
        rows.append({**row, "seconds": seconds, "gib": mib / 1024, "status": "ok"})
    columns = {
        "model": "model", "input": "input", "backend": "attention", "seconds": "seconds", "gib": "peak extra GiB",
        "status": f"parity, of {CHECKED_SIDE} x {CHECKED_SIDE} pixels",
    }  # fmt: skip
    kind = "bf16 autocast" if device == "cuda" else "float32"
    return Section(f"Super-resolution x2 of one whole image, {kind}", columns, rows)


def _in_tiles(image: Tensor, tile: int, model: semanir.SemanIR) -> Tensor:
    return semanir.restore_tiled(model, image, tile, OVERLAP)


def _whole(image: Tensor, model: semanir.SemanIR) -> Tensor:
    restored: Tensor = model(image)
    return restored


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
