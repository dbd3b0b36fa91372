"""The engine's state as plain tensors, each rank's own slice of it, in one form for every world size.

Rank r of W writes ``engine/<r>-of-<W>.safetensors``: for each parameter of which it holds a part, that part's float32
master weights, Adam's two moments and the moving average, flattened, as ``<kind>/<parameter>``; the file's metadata
says with which element of the parameter each begins. Nothing is gathered to save it, and any world finds its own slices
again, whatever ZeRO stage wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.training.ema import Ema
from pipeline.training.engine import MOMENTS, WEIGHT, Engine

FOLDER = "engine"
AVERAGE = "average"


def save_engine(folder: Path, engine: Engine, ema: Ema | None) -> None:
    """Write this rank's slices into ``folder``. No collective."""
    tensors, starts = {}, {}
    kinds = state_tensors(engine, ema)
    for part in engine.own_slices():
        starts[part.name] = part.start
        for kind, held in kinds.items():
            tensors[f"{kind}/{part.name}"] = part.of(held).to("cpu", torch.float32)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / slices_name(engine.rank, engine.world_size), metadata={"starts": json.dumps(starts)})


def slices_name(rank: int, world_size: int) -> str:
    """The file with the slices of ``rank``, relative to the checkpoint's folder."""
    return f"{FOLDER}/{rank:05d}-of-{world_size:05d}.safetensors"


@torch.no_grad()
def load_engine(folder: Path, engine: Engine, ema: Ema | None, steps: int) -> None:
    """Bring back what the ranks of a world of any size wrote. Collective.

    ``steps`` is how often the optimizer had counted itself to have stepped.

    Raises:
        ValueError: a parameter is not there in full.
    """
    engine.start_moments(steps)
    with open_slices(folder) as stored:
        kinds = state_tensors(engine, ema)
        for part in engine.slices():
            for kind, held in kinds.items():
                part.of(held).copy_(stored.read(kind, part.name, part.start, part.length))
        engine.follow_masters(lambda name, length: stored.read(WEIGHT, name, 0, length))


def state_tensors(engine: Engine, ema: Ema | None) -> dict[str, list[Tensor]]:
    """All that a checkpoint keeps of this rank, by kind; each list laid out as the engine's master tensors."""
    kinds = {WEIGHT: engine.master_tensors(), **{name: engine.moment_tensors(name) for name in MOMENTS}}
    return kinds if ema is None else {**kinds, AVERAGE: ema.tensors}


@contextmanager
def open_slices(folder: Path) -> Iterator[StoredSlices]:
    """The slices of all ranks in a checkpoint's ``folder``, read as they are asked for."""
    files: list[Any] = [safe_open(path, "pt") for path in sorted((folder / FOLDER).glob("*.safetensors"))]
    yield StoredSlices(files)


class StoredSlices:
    """Runs of a parameter's elements, put together from the files of several ranks."""

    def __init__(self, files: list[Any]) -> None:
        self._places: dict[str, list[tuple[int, Any]]] = {}
        for file in files:
            for name, start in json.loads(file.metadata()["starts"]).items():
                self._places.setdefault(name, []).append((start, file))

    def read(self, kind: str, name: str, start: int, length: int) -> Tensor:
        """Elements [start, start + length) of ``name``, flattened."""
        result, filled = torch.empty(length), 0
        for first, file in self._places.get(name, ()):
            stored = file.get_slice(f"{kind}/{name}")
            low, high = max(start, first), min(start + length, first + stored.get_shape()[0])
            if low < high:
                result[low - start : high - start] = stored[low - first : high - first]
                filled += high - low
        if filled != length:
            raise ValueError(f"the checkpoint has {filled} of the {length} elements of {kind} {name}")
        return result
