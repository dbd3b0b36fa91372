"""Damage that any rank meets reaches the figures that rank 0 logs, by kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.config import resolve
from pipeline.data.manifest import load_manifest
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources


def test_all_ranks_damage_is_counted_by_kind(run_group: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    for name in ("sound", "damaged"):
        pack_dataset(folder_sources(str(tmp_path / "images")), str(tmp_path / name))
    manifest = load_manifest(str(tmp_path / "damaged"))
    (shard,) = manifest.shards
    path, rows = Path(manifest.uri) / shard.name, manifest.rows(0)
    data = bytearray(path.read_bytes())
    for row in (1, 3, 5):
        data[rows[row].offset + 520] ^= 1
    path.write_bytes(bytes(data[: rows[7].offset + 600]))
    document = {
        "defaults": {
            "storage": "unused",
            "model": {"name": "ushape_tiny"},
            "data": {
                "train": manifest.uri, "val": str(tmp_path / "sound"), "patch_size": 16, "streams": 4, "block_size": 2,
                "on_damage": "skip", "max_skipped_share": 0.5,
            },
            "training": {"steps": 2, "global_batch_size": 4, "log_every": 1},
        }
    }  # fmt: skip
    job = resolve(document, "denoising_color").model_dump_json()
    logged = run_group(tmp_path, "loop", 2, config=job)[0]["logged"]
    (epoch,) = (metrics for step, metrics in logged if step == 2 and "loss" in metrics)
    damage = {name: value for name, value in epoch.items() if name.startswith(("damaged", "storage"))}
    assert damage == {"damaged_samples": 4, "damaged_altered": 3, "damaged_truncated": 1, "storage_retries": 0}
