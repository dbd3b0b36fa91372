"""What ``jobs/benchmark.py restore`` does: one photograph in several ways, one row per model and way."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import semanir
from pipeline.benchmarks.clock import each_milliseconds, median_milliseconds, median_ratio
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.errors import UserError
from pipeline.registry.export_parity import Restore, in_onnxruntime, in_openvino, psnr
from semanir.export import to_onnx
from semanir.tiling import DEFAULT_OVERLAP, Canvas, ModelShape, default_tile, restore_tiled

# What another order of additions, or another runtime's choice between almost equal neighbors, may change.
LEAST_PSNR = 60.0
RUNTIMES: dict[str, Callable[[Path], Restore]] = {"onnxruntime": in_onnxruntime, "openvino": in_openvino}
COLUMNS = {
    "model": "model", "image": "image", "way": "way", "seconds_per_megapixel": "s / megapixel", "ratio": "ratio",
    "share_of_limit": "share of limit", "psnr": "PSNR to the first", "status": "status",
}  # fmt: skip


def run_restoring(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a way's output was wrong."""
    if unknown := [name for name in options.runtimes if name not in RUNTIMES]:
        raise UserError(f"--runtimes: unknown {unknown[0]!r}; known: {', '.join(RUNTIMES)}")
    for name in options.models:
        semanir.model_config(name)  # unknown ones are refused before anything is measured
    file = RowFile("restore", options.output, machine("cpu", ("torch", "onnxruntime", "openvino")))
    limits = limit(options.rounds)
    print(", ".join(f"{name}: {speed:.1f} GMAC/s" for name, speed in limits.items()), flush=True)
    image = photograph(options.megapixels)
    for name in options.models:
        for row in measure(name, image, options, max(limits.values())):
            file.add(**row, **{f"{kind}_gmacs_per_second": speed for kind, speed in limits.items()})
    print(format_table(COLUMNS, file.rows))
    return 1 if any(row["status"] != "ok" for row in file.rows) else 0


def photograph(megapixels: float) -> Tensor:
    """(1, 3, H, W) in [0, 1], 3:2, by mirroring a photograph that comes with scikit-image until it is large enough."""
    from skimage import data

    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    coffee = data.coffee()
    pads = [(0, max(0, wanted - have)) for wanted, have in zip((height, width), coffee.shape[:2], strict=True)]
    image = np.pad(coffee, [*pads, (0, 0)], mode="symmetric")[:height, :width]
    return torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def measure(name: str, image: Tensor, options: argparse.Namespace, best: float) -> list[Row]:
    """One row per way; ratio: of time, to the first. best: GMAC/s that this processor reaches."""
    torch.manual_seed(0)
    model = semanir.create_model(name, zero_init_last=False).eval()
    with torch.no_grad():
        model.get_parameter("conv_last.weight").mul_(0.2)  # changes an image about as much as a trained one does
    tile = default_tile(model)
    pixels = image.shape[2] * image.shape[3]
    gmacs = semanir.describe(model, tile, tile).macs / tile**2 * pixels / 1e9
    ways: dict[str, Callable[[], Tensor]] = {
        "tiles in turn": lambda: in_turn(lambda part, k: model(part, k), model, image, tile),
        "side by side": lambda: restore_tiled(model, image, tile, DEFAULT_OVERLAP),
    }
    with TemporaryDirectory() as scratch, torch.inference_mode():
        for runtime in options.runtimes:
            graph = Path(scratch) / "model.onnx"
            to_onnx(model, graph)
            opened = RUNTIMES[runtime](graph)
            ways[runtime] = lambda opened=opened: in_turn(opened, model, image, tile)  # type: ignore[misc]
        exact = ways["tiles in turn"]()
        close = {way: psnr(restore(), exact) for way, restore in ways.items()}
        right = {way: restore for way, restore in ways.items() if close[way] >= LEAST_PSNR}
        times = each_milliseconds(right, options.rounds, "cpu")
    rows: list[Row] = []
    for way in ways:
        row: Row = {"model": name, "image": f"{image.shape[2]} x {image.shape[3]}", "way": way, "tile": tile}
        row["psnr"] = close[way]
        if way in times:
            seconds = statistics.median(times[way]) / 1000
            row["seconds_per_megapixel"] = seconds / (pixels / 1e6)
            row["ratio"] = median_ratio(times[way], times["tiles in turn"])
            row["share_of_limit"] = gmacs / seconds / best
        else:  # what is wrong has no figure
            row |= dict.fromkeys(("seconds_per_megapixel", "ratio", "share_of_limit"))
        rows.append({**row, "status": "ok" if way in times else f"wrong: at least {LEAST_PSNR:g} dB is asked"})
    return rows


def in_turn(restore: Restore, model: semanir.SemanIR, image: Tensor, tile: int) -> Tensor:
    """Tile after tile, with all of PyTorch's (or the runtime's) threads inside each: what side by side is held to."""
    canvas = Canvas(ModelShape.of(model), (1, *image.shape[2:]), tile, DEFAULT_OVERLAP)
    for y, x in canvas.origins:
        canvas.add((y, x), restore(image[..., y : y + tile, x : x + tile], model.config.k))
    return canvas.total


def limit(rounds: int) -> dict[str, float]:
    """GMAC/s of a 3x3 convolution of 32 channels and of a square matrix product, both far larger than a cache line."""
    features, kernel = torch.rand(2, 32, 256, 256), torch.rand(32, 32, 3, 3)
    features = features.to(memory_format=torch.channels_last)
    side = 1024
    left, right = torch.rand(side, side), torch.rand(side, side)
    work = {"convolution": lambda: F.conv2d(features, kernel, padding=1), "product": lambda: left @ right}
    macs = {"convolution": 2 * 256 * 256 * 32 * 32 * 9, "product": side**3}
    with torch.inference_mode():
        times = median_milliseconds(work, max(5, rounds), "cpu")
    return {name: macs[name] / (times[name] / 1000) / 1e9 for name in work}
