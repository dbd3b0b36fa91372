"""How many bytes a run's checkpoint will have, exactly, from its configuration alone.

Sizes of files are a function of names and shapes: which rank writes which elements follows from how ZeRO shares out
the master weights, and safetensors' header is JSON (its format: https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch

import semanir
from pipeline.config import RunConfig
from pipeline.training.engine import MOMENTS, WEIGHT
from pipeline.training.engine_state import AVERAGE, slices_name
from pipeline.training.figures import FILE as FIGURES
from pipeline.training.figures import FILE_BYTES as FIGURES_BYTES
from pipeline.training.proof import FileProof, Saving, list_text
from pipeline.training.state import STATE_BYTES
from pipeline.training.training_plan import model_config
from semanir.weights import CONFIG_FILE, WEIGHTS_FILE

ALIGNMENT = 2  # elements to which DeepSpeed's stages 1 and 2 pad each rank's share (nccl_start_alignment_factor)
HEADER_MULTIPLE = 8  # bytes to which safetensors pads its header
ITEM_BYTES = 4  # everything is float32
Share = tuple[str, int, int]  # a parameter, its first element, how many


def checkpoint_bytes(config: RunConfig, world_size: int, step: int | None = None) -> int:
    """Of all files of the checkpoint after ``step`` (None: the last), written by ``world_size`` ranks.

    Exact, but for runs that passed over so many damaged samples that their names outgrow a kilobyte.
    """
    with torch.device("meta"):
        model = semanir.build_model(model_config(config))
    numel = {name: parameter.numel() for name, parameter in model.named_parameters()}
    kinds = [WEIGHT, *MOMENTS, *([AVERAGE] if config.training.ema_decay else [])]
    files = [
        {slices_name(rank, world_size): engine_bytes(own_shares(numel, config, rank, world_size), kinds)}
        for rank in range(world_size)
    ]
    files[0] |= {
        f"best/{WEIGHTS_FILE}": file_bytes({name: tuple(value.shape) for name, value in model.state_dict().items()}),
        f"best/{CONFIG_FILE}": len(json.dumps(model.config.to_dict(), indent=2).encode()) + 1,
        "state.json": STATE_BYTES,
        FIGURES: FIGURES_BYTES,
        "config.json": len(config.model_dump_json(indent=2).encode()),
    }
    step = config.training.steps if step is None else step
    lists = [len(_list(rank, world_size, step, own)) for rank, own in enumerate(files)]
    return sum(sum(own.values()) for own in files) + sum(lists)


def _list(rank: int, world_size: int, step: int, files: Mapping[str, int]) -> bytes:
    """The list that ends a rank's part, with the same digits in every number as the one that will be written."""
    proofs = {name: FileProof(length, "0" * 64) for name, length in sorted(files.items())}
    return list_text(Saving(rank, world_size, step, 1 << 52), proofs).encode()


def own_shares(numel: Mapping[str, int], config: RunConfig, rank: int, world_size: int) -> list[Share]:
    """What ``rank`` answers for, in the order of the parameters: as Engine.own_slices."""
    stage = config.training.zero_stage
    if stage in (1, 2):
        unit = ALIGNMENT * world_size
        length = -(-sum(numel.values()) // unit) * unit // world_size
        ends = list(accumulate(numel.values()))
        bounds = [(max(0, rank * length - end + n), min(n, (rank + 1) * length - end + n)) for end, n in
                  zip(ends, numel.values(), strict=True)]  # fmt: skip
    elif stage == 3:
        parts = [-(-n // world_size) for n in numel.values()]
        bounds = [(rank * part, min((rank + 1) * part, n)) for part, n in zip(parts, numel.values(), strict=True)]
    else:
        bounds = [(n * rank // world_size, n * (rank + 1) // world_size) for n in numel.values()]
    return [(name, low, high - low) for name, (low, high) in zip(numel, bounds, strict=True) if high > low]


def engine_bytes(shares: Sequence[Share], kinds: Sequence[str]) -> int:
    """Of a rank's slices of every kind."""
    starts = {name: start for name, start, _ in shares}
    shapes = {f"{kind}/{name}": (length,) for name, _, length in shares for kind in kinds}
    return file_bytes(shapes, {"starts": json.dumps(starts)})


def file_bytes(shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str] | None = None) -> int:
    """Of a safetensors file with float32 tensors of these names and shapes."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    offset = 0
    for name, shape in sorted(shapes.items()):
        size = ITEM_BYTES * torch.Size(shape).numel()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-text // HEADER_MULTIPLE) * HEADER_MULTIPLE + offset
