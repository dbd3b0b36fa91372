"""A sealed model folder: digests of its files, and a probe that a loaded model must reproduce.

This file travels inside every registered model, so it imports nothing of the project: only the standard
library, torch and safetensors.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
TASK_FILE = "task.json"
CARD_FILE = "model_card.md"
PROBE_FILE = "probe.safetensors"
DIGESTS_FILE = "digests.json"
CODE_FOLDER = "code"

# The probe is compared in float32 on the CPU. Half an 8-bit level anywhere, or a twentieth of one on average,
# is more than rounding differences between CPUs give, and less than anyone sees.
PROBE_LARGEST = 0.5 / 255
PROBE_MEAN = 0.05 / 255


class AlteredModelError(Exception):
    """The folder is not what was registered: a file is missing or differs, or the model does."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_digests(folder: Path) -> dict[str, str]:
    """Record the digest of every file below ``folder`` in ``digests.json``; returns the record."""
    digests = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != DIGESTS_FILE and path.suffix != ".pyc"
    }
    (folder / DIGESTS_FILE).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
    return digests


def read_digests(folder: Path) -> dict[str, str]:
    """The digests on record. Raises AlteredModelError when the record is missing, malformed or incomplete."""
    path = folder / DIGESTS_FILE
    try:
        digests = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AlteredModelError(f"{path} cannot be read: not a sealed model ({error})") from None
    if not isinstance(digests, dict) or not {WEIGHTS_FILE, CONFIG_FILE, PROBE_FILE, TASK_FILE} <= set(digests):
        raise AlteredModelError(f"{path} does not list the weights, configuration, task and probe of a model")
    for name in digests:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise AlteredModelError(f"{path} names a file outside the folder: {name}")
    return digests


def verify_digests(folder: Path) -> dict[str, str]:
    """Check every file on record; returns the record. Raises AlteredModelError naming what differs."""
    digests = read_digests(folder)
    for name, expected in digests.items():
        path = folder / name
        if not path.is_file():
            raise AlteredModelError(f"{path} is missing; fetch the model again")
        found = file_digest(path)
        if found != expected:
            raise AlteredModelError(
                f"{path} was altered: its SHA-256 is {found[:12]}…, registered was {str(expected)[:12]}…; "
                "fetch the model again"
            )
    unlisted = {path.relative_to(folder).as_posix() for path in (folder / CODE_FOLDER).rglob("*.py")} - set(digests)
    if unlisted:
        raise AlteredModelError(f"{folder} holds code that was not registered: {', '.join(sorted(unlisted))}")
    return digests


def read_task(folder: Path) -> dict[str, Any]:
    """The task record (``task.json``): names, channels, scale, input handling, convention."""
    record = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
    if record.get("format") != 1:
        raise AlteredModelError(f"{folder / TASK_FILE} has format {record.get('format')!r}; this code reads format 1")
    return dict(record)


def check_probe(model: Any, folder: Path) -> None:
    """Run ``model`` (on the CPU, float32) on the probe and compare. Raises AlteredModelError when it differs.

    Tolerance: half an 8-bit level for each value, a twentieth on average (``PROBE_LARGEST``, ``PROBE_MEAN``).
    """
    import torch
    from safetensors.torch import load_file

    probe = load_file(folder / PROBE_FILE)
    model.eval()
    with torch.inference_mode():
        found = model(probe["input"])
    if found.shape != probe["output"].shape:
        raise AlteredModelError(
            f"on its probe the model gives shape {tuple(found.shape)}, not {tuple(probe['output'].shape)}"
        )
    difference = (found - probe["output"]).abs()
    largest, mean = float(difference.max()), float(difference.mean())
    if not (largest <= PROBE_LARGEST and mean <= PROBE_MEAN):
        raise AlteredModelError(
            f"the model in {folder} does not compute what it did when it was registered: its probe is off by "
            f"{largest * 255:.3g} of 255 levels (mean {mean * 255:.3g}; allowed {PROBE_LARGEST * 255:g} and "
            f"{PROBE_MEAN * 255:g}), so the code in use differs from the code it was trained with"
        )
