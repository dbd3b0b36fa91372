"""The folder of a shipped model, its digests verified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipeline.errors import UserError
from pipeline.settings import parse_json
from pipeline.shipped.provenance import PROVENANCE_FILE, Provenance

SCHEME = "shipped:"
MODELS = Path(__file__).resolve().parent / "models"
DIGESTS_FILE = "digests.json"  # written by pipeline.registry.sealed, which lies above this room


def names(models: Path = MODELS) -> list[str]:
    """The tasks that a model comes with the package for."""
    return sorted(path.parent.name for path in models.glob(f"*/{DIGESTS_FILE}"))


def is_shipped(uri: str) -> bool:
    """Whether ``uri`` is an address of this room: ``shipped:<task>``."""
    return uri.startswith(SCHEME)


def locate(uri: str, models: Path = MODELS) -> Path:
    """The folder that ``shipped:<task>`` means; what ``semanir.load`` calls.

    Raises:
        UserError: no model of that name comes with the package (lists those that do), or a file of it is not the one
            that was shipped.
    """
    name = uri.removeprefix(SCHEME)
    if name not in names(models):
        known = ", ".join(SCHEME + known for known in names(models)) or "none"
        raise UserError(f"no model {uri!r} comes with the package; there are: {known}")
    folder = models / name
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for file, digest in _digests(folder / DIGESTS_FILE).items():
        path = folder / file
        if file not in there or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise UserError(f"{str(path)!r:.300} is not the file that was shipped: install the package again")
    return folder


def read_provenance(folder: Path) -> Provenance:
    """What a shipped model in ``folder`` was made of and how. Raises UserError when its file does not say so."""
    path = folder / PROVENANCE_FILE
    return parse_json(Provenance, path.read_bytes(), str(path))


def _digests(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not the file that was shipped ({error}): install the package again") from None
