"""What ``jobs/benchmark.py neighbors`` does: train two models alike, measure both with fewer and fewer keys."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

import semanir
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.data.images import decode_image, to_float
from pipeline.data.packing.builtin import Split, builtin_sources
from pipeline.data.patches import augment, to_tensor
from pipeline.degradations.image import Image
from pipeline.degradations.noise import gaussian_noise
from pipeline.metrics.convention import MetricConvention
from pipeline.metrics.psnr_ssim import psnr
from pipeline.training.losses import pseudo_huber

MODEL = "ushape_tiny"
TOKENS = semanir.model_config(MODEL).window_size ** 2
# Trained k over N: the paper's random list, 64 to 512 of 1024.
RANDOM_SHARES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2)
MEASURED = {"N": TOKENS, "N/2": TOKENS // 2, "N/4": TOKENS // 4, "N/8": TOKENS // 8}
PATCH, BATCH, LEARNING_RATE, WARMUP_SHARE, CLIP = 48, 4, 2e-3, 0.1, 0.5
CROP = 256  # of each held-out photograph, from its center


def run_neighbors(options: argparse.Namespace) -> int:
    """Returns 0. The rows hold one PSNR per model, seed and k."""
    provenance = machine("cpu", ("torch", "numpy"))
    file = RowFile("neighbors", options.output, provenance)
    train, held_out = photographs("train"), photographs("test")
    for seed in options.seeds:
        for name, shares in (("semanir, random k", RANDOM_SHARES), ("twin, k = N", (1.0,))):
            start = time.perf_counter()
            model = train_model(train, shares, options.steps, options.sigma, seed)
            seconds = time.perf_counter() - start
            for label, k in MEASURED.items():
                value = held_out_psnr(model, held_out, k, options.sigma)
                measured = {"keys": label, "k": k, "psnr": round(value, 3)}
                file.add(model=name, seed=seed, steps=options.steps, train_seconds=round(seconds, 1), **measured)
    noisy = np.mean([psnr(_noisy(image, i, options.sigma), _center(image), RGB) for i, image in enumerate(held_out)])
    columns = {"model": "model", "seed": "seed", **{label: f"k = {label} = {k}" for label, k in MEASURED.items()}}
    print(f"PSNR in dB on {len(held_out)} held-out photographs; noisy input {noisy:.2f} dB; {options.steps} steps each")
    print(format_table(columns, _by_model(file.rows)))
    return 0


RGB = MetricConvention(channel="rgb", border=0)


def photographs(split: Split) -> list[Image]:
    """The built-in color photographs of a split, float32 in [0, 1]."""
    decoded = (to_float(decode_image(source.clean.read())) for source in builtin_sources(split))
    return [image for image in decoded if image.shape[2] == 3]


def train_model(images: list[Image], shares: tuple[float, ...], steps: int, sigma: float, seed: int) -> semanir.SemanIR:
    """One model, k drawn per step from shares of N. The seed fixes its weights, patches, noise and draws."""
    torch.manual_seed(seed)
    model = semanir.create_model(MODEL)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    keys = np.random.default_rng([seed, 1])
    for _, (lq, gt) in zip(range(steps), batches(images, sigma, np.random.default_rng([seed, 0])), strict=False):
        k = max(1, round(TOKENS * float(keys.choice(shares))))
        loss = pseudo_huber(model(lq, k), gt)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
    return model.eval()


def batches(images: list[Image], sigma: float, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (noisy, clean) patches (B, 3, PATCH, PATCH)."""
    while True:
        clean = []
        for _ in range(BATCH):
            image = images[rng.integers(len(images))]
            y, x = (int(rng.integers(size - PATCH + 1)) for size in image.shape[:2])
            clean.append(np.ascontiguousarray(augment(image[y : y + PATCH, x : x + PATCH], int(rng.integers(8)))))
        noisy = [gaussian_noise(patch, rng, (sigma, sigma)) for patch in clean]
        yield torch.stack([to_tensor(p) for p in noisy]), torch.stack([to_tensor(p) for p in clean])


def held_out_psnr(model: semanir.SemanIR, images: list[Image], k: int, sigma: float) -> float:
    """Mean PSNR in dB over the center crops; the noise is the same for every model and k."""
    values = []
    for index, image in enumerate(images):
        with torch.no_grad():
            restored = model(to_tensor(_noisy(image, index, sigma))[None], k)[0]
        values.append(psnr(restored.numpy().transpose(1, 2, 0), _center(image), RGB))
    return float(np.mean(values))


def _noisy(image: Image, index: int, sigma: float) -> Image:
    return gaussian_noise(_center(image), np.random.default_rng([2026, index]), (sigma, sigma))


def _center(image: Image) -> Image:
    y, x = ((size - CROP) // 2 for size in image.shape[:2])
    return np.ascontiguousarray(image[y : y + CROP, x : x + CROP])


def _rate(step: int, steps: int) -> float:
    warmup = max(1, round(WARMUP_SHARE * steps))
    return (step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * step / steps))


def _by_model(rows: list[Row]) -> list[Row]:
    table: dict[tuple[str, int], Row] = {}
    for row in rows:
        line = table.setdefault((row["model"], row["seed"]), {"model": row["model"], "seed": row["seed"]})
        line[row["keys"]] = f"{row['psnr']:.2f}"
    return list(table.values())
