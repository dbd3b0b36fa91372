"""Turn trained weights into a sealed model folder, with task, card, code, probe and digests."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import pipeline
import semanir
from pipeline.degradations.quantize import quantize
from pipeline.registry import carried_code, sealed
from pipeline.tasks import Task
from pipeline.tasks.base import Bounds
from semanir.tiling import DEFAULT_OVERLAP, default_tile

PROBE_SIDE = 48  # ground-truth pixels: more than one window of the tiny models, quick for the published ones


class Card(Protocol):
    """What a sealed folder says of its model in words."""

    @property
    def setting(self) -> str:
        """The degradation."""

    @property
    def bounds(self) -> Bounds:
        """Of what restoring can hold a picture against."""

    @property
    def protocol(self) -> str:
        """How its figures were measured."""

    def to_markdown(self, k: int) -> str:
        """The whole card, of a model that keeps ``k`` keys per token."""


def seal(source: Path, task: Task, card: Card, destination: Path, *, carry_code: bool = True) -> dict[str, str]:
    """Build the folder ``destination`` from ``source`` (written by ``semanir.save``); returns its digests.

    carry_code: put the code that the model needs beside it; without, only this package can use the folder.

    Raises ValueError when the model does not belong to the task.
    """
    from safetensors.torch import save

    destination.mkdir(parents=True)
    for name in (sealed.WEIGHTS_FILE, sealed.CONFIG_FILE):
        shutil.copyfile(source / name, destination / name)
    model = semanir.load(destination)
    config = model.config
    wanted = (task.input_channels, task.channels, task.upscale)
    if (config.in_channels, config.out_channels, config.upscale) != wanted:
        raise ValueError(
            f"{source} holds a model of {config.in_channels} to {config.out_channels} channels at scale "
            f"{config.upscale}; {task.name} needs {wanted[0]} to {wanted[1]} channels at scale {wanted[2]}"
        )
    observed, lq = _probe_input(task)
    record = {
        "format": 1,
        "task": task.name,
        "title": task.title,
        "setting": card.setting,
        "protocol": card.protocol,
        "convention": asdict(task.convention),
        "input_channels": task.input_channels,
        "output_channels": task.channels,
        "observed_channels": observed,
        "upscale": task.upscale,
        "bounds": {name: list(limits) for name, limits in card.bounds.items()},
        "k": config.k,
        "tile": default_tile(model),
        "overlap": DEFAULT_OVERLAP,
        "to_input": None,
    }
    if carry_code:
        _carry_package(Path(semanir.__file__).parent, destination / sealed.CODE_FOLDER)
    if observed != task.input_channels:
        record["to_input"] = {"module": task.to_input.__module__, "function": task.to_input.__name__}
        if carry_code:
            _carry_function(task.to_input, destination / sealed.CODE_FOLDER)
    for helper in (sealed, carried_code) if carry_code else ():
        shutil.copyfile(inspect.getfile(helper), destination / sealed.CODE_FOLDER / Path(inspect.getfile(helper)).name)
    (destination / sealed.TASK_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (destination / sealed.CARD_FILE).write_text(card.to_markdown(config.k), encoding="utf-8")
    (destination / sealed.PROBE_FILE).write_bytes(save(_probe(model, lq)))
    return sealed.write_digests(destination)


def _probe_input(task: Task) -> tuple[int, np.ndarray]:
    """Channels of what a person has, and a network input (H, W, C) of the task: waves and noise, degraded."""
    rng = np.random.Generator(np.random.Philox(key=20240417))
    rows, columns = np.mgrid[0:PROBE_SIDE, 0:PROBE_SIDE] / PROBE_SIDE
    waves = [0.5 + 0.3 * np.sin(9 * (c + 1) * rows + c) * np.cos(14 * columns * rows) for c in range(task.channels)]
    gt = np.stack(waves, axis=2) + rng.normal(0, 0.05, (PROBE_SIDE, PROBE_SIDE, task.channels))
    levels = quantize(gt.astype(np.float32))
    observed = task.degrade(task.crop_gt(levels), rng, task.settings())
    return observed.shape[2], task.to_input(observed)


def _probe(model: Any, lq: np.ndarray) -> dict[str, Any]:
    import torch

    # An odd cut, so that padding and partial windows take part.
    cut = lq[: lq.shape[0] - 1, : max(2, lq.shape[1] - 7)]
    x = torch.from_numpy(np.ascontiguousarray(cut.transpose(2, 0, 1)))[None]
    with torch.inference_mode():
        return {"input": x, "output": model.eval()(x).contiguous()}


def _carry_package(package: Path, code: Path) -> None:
    for path in sorted(package.rglob("*.py")):
        target = code / package.name / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _carry_function(function: Callable[..., Any], code: Path) -> None:
    """Copy the module of ``function`` and all modules of the pipeline that it imports."""
    root = Path(pipeline.__file__).parent.parent
    waiting, done = [function.__module__], set()
    while waiting:
        module = waiting.pop()
        if module in done or not module.startswith(f"{pipeline.__name__}"):
            continue
        done.add(module)
        stem = root.joinpath(*module.split("."))
        file = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
        target = code / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        waiting += [module.rpartition(".")[0], *_imports(file)]


def _imports(file: Path) -> list[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
