"""What can happen to the files of a checkpoint, and to which: the two sides of the matrix of damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def flip(path: Path) -> None:
    """One bit in the middle: of a tensor, not of a header."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


HARMS: dict[str, Callable[[Path], None]] = {
    "bit flipped": flip,
    "cut": cut,
    "emptied": empty,
    "gone": Path.unlink,
}


def files_of(world_size: int) -> list[str]:
    """Each kind of file, the per-rank ones of the last rank."""
    last = f"{world_size - 1:05d}-of-{world_size:05d}"
    return [
        f"engine/{last}.safetensors",
        "best/model.safetensors",
        "best/config.json",
        "state.json",
        "figures.json",
        "config.json",
        f"parts/{last}.json",
    ]


def harm(checkpoints: Path, file: str, what: str, where: str) -> None:
    """Do it to the latest checkpoint below ``checkpoints``, or to all of them."""
    folders = sorted(checkpoints.glob("step-*"))
    for folder in folders if where == "all" else folders[-1:]:
        HARMS[what](folder / file)
