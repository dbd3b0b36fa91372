"""What ``GET /v1/models`` says of a model: its card, what it takes, and what it does to pictures at every strength."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import semanir
from pipeline import shipped
from pipeline.registry import sealed
from pipeline.registry.harm_tag import harm_of
from pipeline.serving.service.versions import Version
from pipeline.shipped.provenance import PROVENANCE_FILE
from semanir.tiling import default_tile, tile_grid


def describe(version: Version, folder: Path) -> dict[str, Any]:
    """What its folder and its tags in the registry say, as JSON can hold it."""
    model = semanir.load(folder)
    config = model.config
    entry: dict[str, Any] = {
        "model": version.address,
        "version": version.label,
        "weights_sha256": version.weights,
        "task": None,
        "title": folder.name,
        "setting": "",
        "bounds": {},
        "upscale": config.upscale,
        "input_channels": [config.in_channels],
        "k": config.k,
        "most_k": config.window_size**2,
        "tile": default_tile(model),
        "least_tile": semanir.tiling.DEFAULT_OVERLAP + tile_grid(model),
        "card": "",
        "harm": _harm(version, folder),
    }
    if sealed.is_sealed(folder):
        record = sealed.read_task(folder)
        entry |= {name: record.get(name) for name in ("task", "title", "setting", "bounds")}
        entry["input_channels"] = sorted({config.in_channels, record["observed_channels"]})
    card = folder / sealed.CARD_FILE
    if card.is_file():
        entry["card"] = card.read_text(encoding="utf-8")
    return entry


def _harm(version: Version, folder: Path) -> list[dict[str, Any]]:
    """Points of the harm curve, mildest first; empty where none was measured."""
    if (folder / PROVENANCE_FILE).is_file() and shipped.is_shipped(version.address):
        return [
            {
                "strength": f"{point.degradation} {point.strength:g}",
                "input_db": point.input_db,
                "restored_db": point.restored_db,
                "mean_db": point.mean_change,
                "worst_db": point.worst_change,
            }
            for point in shipped.read_provenance(folder).harm
        ]
    located = version.located
    harm = None if located is None or located.name is None else harm_of(located.name, str(located.version))
    return [
        {
            "strength": point.strength,
            "input_db": point.input_db,
            "restored_db": point.kept_db,
            "mean_db": point.mean_db,
            "worst_db": point.worst_db,
        }
        for point in (harm.points if harm else ())
    ]
