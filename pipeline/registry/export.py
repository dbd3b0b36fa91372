"""A model for other programs: files of several formats, each run beside the model before it is given out.

The one function behind ``semanir models export`` and whatever publishes files for other runtimes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import semanir
from pipeline.addresses import check_file as check_local_file
from pipeline.errors import UserError, first_line
from pipeline.registry import sealed
from pipeline.registry.export_parity import Restore, fault
from pipeline.registry.formats import FORMATS, Format, find_format, form_of


@dataclass(frozen=True)
class Exported:
    """What was written, and what it was checked with."""

    path: Path
    size: int
    checked: str


def export(
    folder: Path,
    path: Path,
    form: str = "onnx",
    *,
    overwrite: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Exported:
    """Write the model in ``folder`` (pulled, shipped, or written by ``semanir.save``) to ``path``.

    The file is run in its runtime beside the model and refused when it differs; nothing is left of it then. Task,
    card, license and the digest of the weights travel inside, where the folder has them. say: is told in a line what
    comes next, since a large window takes minutes.

    Raises UserError for an unknown format, an unreadable folder, an existing file, a place that cannot be written, a
    missing package, or a file that does not restore as the model does; AlteredModelError for a sealed folder that was
    altered.
    """
    chosen = find_format(form)
    check_target(path, overwrite=overwrite)
    metadata = describe_folder(folder)
    try:
        model = semanir.load(folder).cpu().eval()
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"model in {folder}: {error}") from None
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        say(f"writing {path.name}")
        chosen.write(model, unfinished, metadata)
        own, most = model.config.k, model.config.window_size**2
        ks = sorted({1, own, most}) if chosen.any_k else [own]
        exported = _run(chosen, unfinished)
        for image in check_images(folder, model):
            say(f"checking against the model: {image.shape[2]}x{image.shape[3]} pixels, k {', '.join(map(str, ks))}")
            if problem := fault(exported, model, [image], chosen.limit, ks):
                raise UserError(f"{path.name} was not written as {form}: {problem}")
        os.replace(unfinished, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or first_line(error)})") from None
    except (ValueError, RuntimeError) as error:
        told = first_line(error).replace(unfinished.name, path.name)
        raise UserError(f"{path.name} was not written as {form}: {told}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return Exported(path, path.stat().st_size, f"at least {chosen.limit.least_psnr:g} dB from the model's own output")


def check_target(path: Path, *, overwrite: bool) -> None:
    """Whether an export may go there. Raises UserError, so that nothing is fetched or computed for what may not."""
    check_local_file("--output", path, replaced=True)
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists; give --overwrite to replace it, or choose another name")


def check_file(path: Path) -> dict[str, str]:
    """The texts inside a file that :func:`export` wrote. Raises UserError when it is another or was altered."""
    try:
        return FORMATS[form_of(path)].read(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or first_line(error)})") from None
    except (ValueError, RuntimeError) as error:
        raise UserError(first_line(error)) from None


def describe_folder(folder: Path) -> dict[str, str]:
    """What a file says of itself: digest of the weights always; task, card and license where the folder is sealed.

    Raises UserError when the folder holds no model; AlteredModelError when it is sealed and was altered.
    """
    weights = folder / sealed.WEIGHTS_FILE
    if not weights.is_file():
        raise UserError(f"{folder} holds no {sealed.WEIGHTS_FILE}: give a pulled model, or a folder of semanir.save")
    described = {"weights_sha256": sealed.file_digest(weights)}
    if not sealed.is_sealed(folder):
        return described
    sealed.verify_digests(folder)
    task = sealed.read_task(folder)
    described |= {"task": str(task["task"]), "task_record": json.dumps(task, sort_keys=True)}
    card = folder / sealed.CARD_FILE
    if card.is_file():
        text = card.read_text(encoding="utf-8")
        described |= {"model_card": text, "license": _license(text)}
    return described


def check_images(folder: Path, model: semanir.SemanIR) -> list[Tensor]:
    """The folder's own probe where it is sealed, and two sizes that fill windows only in part."""
    channels, generator = model.config.in_channels, torch.Generator().manual_seed(0)
    side = 2 * model.config.window_size + 3
    width = max(1, side - 5)  # a window of one token can be
    ramp = torch.linspace(0.1, 0.9, side * width).reshape(1, 1, side, width).expand(1, channels, -1, -1)
    images = [ramp + 0.05 * torch.randn(ramp.shape, generator=generator), torch.rand(1, channels, 3, 1)]
    if (folder / sealed.PROBE_FILE).is_file():
        images.insert(0, sealed.read_probe(folder)[0])
    return images


def _run(form: Format, path: Path) -> Restore:
    try:
        return form.run(path)
    except ModuleNotFoundError:
        raise UserError("checking an export needs onnxruntime: pip install 'semanir-on-ray[export]'") from None


def _license(card: str) -> str:
    """The line below the card's heading ``## License``; cards of versions before 0.2 have the British spelling.

    It stands alone in the file, so the table that it may refer to is written out.
    """
    stated = re.search(r"^## Licen[cs]e\n+(.+)", card, re.MULTILINE)
    if not stated:
        return "not stated"
    table = re.search(r"^## Photographs\n+\|.*\n\|[-| ]+\n((?:\|.*\n)+)", card, re.MULTILINE)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()] if table else []
    credits = "; ".join(f"{name} by {', '.join(others)}" for name, *others in rows)
    return stated[1].strip().replace("the table above", credits or "the table in the model's card")
