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

# Far more than a sealed folder's own files have: the record of a million files, a probe of 295 x 295 RGB pixels.
MAX_RECORD_BYTES = 64 << 20
MAX_PROBE_BYTES = 1 << 20
MAX_CHANNELS = 256
MAX_NAME, MAX_PATH = 255, 1000  # bytes of a file's name, characters of its path: what file systems take
_NAMES, _COUNTS = ("task",), ("input_channels", "output_channels", "observed_channels", "upscale")


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


def is_sealed(folder: Path) -> bool:
    """Whether a folder of weights was sealed.

    Raises AlteredModelError when it was, and its digests are gone: nothing proves the weights any more.
    """
    if (folder / DIGESTS_FILE).is_file():
        return True
    left = [name for name in (TASK_FILE, CARD_FILE, PROBE_FILE) if (folder / name).exists()]
    if left:
        raise AlteredModelError(
            f"{folder} holds {left[0]} but no {DIGESTS_FILE}, so nothing proves its weights: fetch the model again, or "
            f"take {', '.join(left)} away to use them as bare weights"
        )
    return False


def read_digests(folder: Path) -> dict[str, str]:
    """The digests on record. Raises AlteredModelError when the record is missing, malformed or incomplete."""
    path = folder / DIGESTS_FILE
    digests = _read_object(path)
    if not {WEIGHTS_FILE, CONFIG_FILE, PROBE_FILE, TASK_FILE} <= set(digests):
        raise AlteredModelError(f"{path} does not list the weights, configuration, task and probe of a model")
    for name in digests:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise AlteredModelError(f"{path} names a file outside the folder: {name!r:.200}")
        if (
            not name.isprintable()
            or len(name) > MAX_PATH
            or max(len(part.encode()) for part in (*parts.parts, "")) > MAX_NAME
        ):
            raise AlteredModelError(f"{path} names no file that a model has: {name!r:.200}")
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
    """The task record (``task.json``): names, channels, scale, input handling, convention.

    Raises AlteredModelError when it is no such record, naming the key and its value.
    """
    path = folder / TASK_FILE
    record = _read_object(path)
    if record.get("format") != 1:
        raise AlteredModelError(f"{path} has format {record.get('format')!r:.40}; this code reads format 1")
    for key in _NAMES:
        if not isinstance(record.get(key), str):
            raise AlteredModelError(f"{path}: {key} is {record.get(key)!r:.40}; expected a name")
    for key in _COUNTS:
        value = record.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_CHANNELS:
            raise AlteredModelError(f"{path}: {key} is {value!r:.40}; expected 1 to {MAX_CHANNELS}")
    source = record.setdefault("to_input", None)
    if source is not None and not (
        isinstance(source, dict) and all(isinstance(source.get(key), str) for key in ("module", "function"))
    ):
        raise AlteredModelError(f"{path}: to_input is {source!r:.80}; expected a module and a function, or null")
    # Records of earlier versions have neither.
    if not isinstance(record.setdefault("setting", ""), str):
        raise AlteredModelError(f"{path}: setting is {record['setting']!r:.40}; expected a text")
    bounds = record.setdefault("bounds", {})
    if not (isinstance(bounds, dict) and all(map(_is_range, bounds.values()))):
        raise AlteredModelError(f"{path}: bounds is {bounds!r:.80}; expected pairs of numbers by name, least first")
    return record


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    return numbers and len(value) == 2 and value[0] <= value[1]


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a sealed folder; raises AlteredModelError for anything else."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_RECORD_BYTES:
            raise ValueError(f"no file of at most {MAX_RECORD_BYTES} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds no object but {found!r:.40}")
    except (OSError, ValueError, RecursionError) as error:
        raise AlteredModelError(f"{path} cannot be read: not a sealed model ({error})") from None
    return found


def check_probe(model: Any, folder: Path) -> None:
    """Run ``model`` (on the CPU, float32) on the probe and compare. Raises AlteredModelError when it differs.

    Tolerance: half an 8-bit level for each value, a twentieth on average (``PROBE_LARGEST``, ``PROBE_MEAN``).
    """
    import torch

    given, expected = read_probe(folder)
    model.eval()
    try:
        with torch.inference_mode():
            found = model(given)
    except (RuntimeError, ValueError, TypeError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise AlteredModelError(
            f"{folder / PROBE_FILE} is no probe of this model: it takes no input {tuple(given.shape)} ({said})"
        ) from None
    if found.shape != expected.shape:
        raise AlteredModelError(f"on its probe the model gives shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    difference = (found - expected).abs()
    largest, mean = float(difference.max()), float(difference.mean())
    if not (largest <= PROBE_LARGEST and mean <= PROBE_MEAN):
        raise AlteredModelError(
            f"the model in {folder} does not compute what it did when it was registered: its probe is off by "
            f"{largest * 255:.3g} of 255 levels (mean {mean * 255:.3g}; allowed {PROBE_LARGEST * 255:g} and "
            f"{PROBE_MEAN * 255:g}), so the code in use differs from the code it was trained with"
        )


def read_probe(folder: Path) -> tuple[Any, Any]:
    """A network input (1, C, H, W) and the output that the registered model gave, float32.

    Raises AlteredModelError when the probe's file is no such pair.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / PROBE_FILE
    try:
        if not path.is_file() or path.stat().st_size > MAX_PROBE_BYTES:
            raise ValueError(f"no file of at most {MAX_PROBE_BYTES} bytes")
        probe = load_file(path)
        pair = probe["input"], probe["output"]
        for tensor in pair:
            if tensor.dtype != torch.float32 or tensor.ndim != 4 or not tensor.numel():
                raise ValueError(
                    f"it holds {tensor.dtype} of shape {tuple(tensor.shape)}; expected float32 (N, C, H, W)"
                )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise AlteredModelError(f"{path} cannot be read: no input and output of a model ({error})") from None
    return pair
