"""Which version of a model is meant now, and its folder on this node, proven to be that version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import shipped
from pipeline.errors import UserError
from pipeline.registry import AlteredModelError, sealed
from pipeline.registry.pull import Located, locate, pull, pull_located


@dataclass(frozen=True)
class Version:
    """address: one that stays when an alias moves. weights: their SHA-256. located: of a registered or logged model."""

    address: str
    weights: str
    located: Located | None = None

    @property
    def label(self) -> str:
        """What a header says: the registry's number, else the beginning of the digest."""
        number = self.located.version if self.located else None
        return str(number) if number is not None else self.weights[:12]


def resolve(address: str) -> tuple[Version, Path]:
    """What ``address`` means now, and its folder with all digests verified. Raises UserError, AlteredModelError."""
    if not address.startswith(("models:", "runs:")):
        folder = pull(address)
        fixed = address if shipped.is_shipped(address) else str(folder.resolve())
        return Version(fixed, sealed.file_digest(folder / sealed.WEIGHTS_FILE)), folder
    located = locate(address)
    folder = pull_located(located)
    return Version(located.uri, sealed.file_digest(folder / sealed.WEIGHTS_FILE), located), folder


def fetch(version: Version) -> Path:
    """Its folder here: from this node's cache without asking the registry, else fetched; all digests verified.

    Raises AlteredModelError when the weights are not those of ``version``, UserError when they cannot be had.
    """
    folder = pull(version.address) if version.located is None else pull_located(version.located)
    found = sealed.file_digest(folder / sealed.WEIGHTS_FILE)
    if found != version.weights:
        raise AlteredModelError(
            f"{folder} holds other weights than {version.address}: SHA-256 {found[:12]}…, not {version.weights[:12]}…"
        )
    return folder


def name_of(folder: Path, address: str) -> str:
    """The name in the URL: the task that a sealed folder states, else the folder's own name."""
    if sealed.is_sealed(folder):
        return str(sealed.read_task(folder)["task"])
    return folder.name.lower()


def address_of(word: str) -> str:
    """What a person typed: a task's name means its registered champion, anything else is an address itself."""
    from pipeline.registry import registered_name
    from pipeline.tasks import resolve_tasks

    if ":" in word or "/" in word or Path(word).exists():
        return word
    try:
        (task,) = resolve_tasks([word])
    except ValueError:
        raise UserError(f"{word!r} names several tasks; give them one by one") from None
    return f"models:/{registered_name(task.name)}@champion"
