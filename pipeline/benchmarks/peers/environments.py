"""The peers, each pinned once, and an environment for each: made once in a folder, and used again.

A peer's requirements are not ours (mosaicml streaming wants NumPy below 2.2 and reads with transformers 4), so it is
installed apart; plain WebDataset is what our own environment has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline.errors import UserError

STAMP = "peers.json"


@dataclass(frozen=True)
class Peer:
    """A library, as it was when this was written.

    package, version: as the package index names them; version None stands for the one in our own environment. needs:
    what is installed beside it, pinned. released: when that version was. where: its repository.
    """

    name: str
    package: str
    version: str | None
    license: str
    released: str
    where: str
    needs: tuple[str, ...] = ()

    @property
    def requirements(self) -> list[str]:
        """What pip is asked for."""
        return [f"{self.package}=={self.version}", *self.needs]


# torch: one version for all, and one of which an index for CPUs may have a small build.
TORCH = ("torch==2.13.0", "torchvision==0.28.0")
LITDATA = Peer(
    "LitData",
    "litdata",
    "0.2.76",
    "Apache-2.0",
    "2026-09-30",
    "github.com/Lightning-AI/litData",
    (*TORCH, "pillow==13.0.0"),
)
MOSAIC = Peer(
    "mosaicml streaming", "mosaicml-streaming", "0.13.0", "Apache-2.0", "2025-07-15", "github.com/mosaicml/streaming",
    (*TORCH, "pillow==13.0.0"),
)  # fmt: skip
WEBDATASET = Peer("WebDataset", "webdataset", None, "BSD-3-Clause", "2025-06-19", "github.com/webdataset/webdataset")
PEERS = (LITDATA, MOSAIC, WEBDATASET)


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/semanir/peers``, which is below ~/.cache unless that is set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "semanir", "peers")


def peer_version(peer: Peer) -> str:
    """The version that is measured."""
    return peer.version or version(peer.package)


def make_environment(peer: Peer, folder: Path, say: Callable[[str], None]) -> tuple[str, float]:
    """The Python of a peer's environment, and the seconds that its installation took; 0 when it was there already.

    Only a finished installation leaves its stamp; an interrupted one begins anew. pip's own settings hold (an index of
    one's own, constraints).

    Raises:
        UserError: the folder cannot be written, or pip failed; with the last line that it said.
    """
    if peer.version is None:
        return sys.executable, 0.0
    place = folder / f"{peer.package}-{peer.version}-py{sys.version_info[0]}.{sys.version_info[1]}"
    python, stamp = place / "bin" / "python", place / STAMP
    if stamp.is_file() and json.loads(stamp.read_text())["requirements"] == peer.requirements:
        return str(python), 0.0
    say(f"installing {peer.name} {peer.version} into {place}")
    started = time.monotonic()
    try:
        shutil.rmtree(place, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--environments {folder}: {error.strerror}; name a folder that can be written") from error
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-compile"]
    _run([sys.executable, "-m", "venv", str(place)], peer)
    _run([*pip, *peer.requirements], peer)
    # Compiling apart uses every core; what does not compile (templates, old syntax) is no error.
    subprocess.run(
        [str(python), "-m", "compileall", "-q", "-j", "0", str(place / "lib")], check=False, capture_output=True
    )
    seconds = time.monotonic() - started
    stamp.write_text(json.dumps({"requirements": peer.requirements, "seconds": seconds}))
    return str(python), seconds


def _run(command: list[str], peer: Peer) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise UserError(f"{peer.name} cannot be installed: {last}")
