"""A measurement's row: JSON lines that say what was measured where, with which code."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.addresses import check_file
from pipeline.runs.commit import git_commit

ROOT = Path(__file__).resolve().parents[2]

Row = dict[str, Any]


def machine(device: str, packages: tuple[str, ...] = ("torch", "triton")) -> Row:
    """Commit, device name, threads and versions: the same for every row of a run.

    device: ``cpu`` or ``cuda``.
    """
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "commit": git_commit(ROOT),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


class RowFile:
    """Appends rows to a JSON-lines file; without a path it only keeps them.

    Raises UserError for a path that cannot be written: make it before anything is measured.
    """

    def __init__(self, benchmark: str, path: str | None, provenance: Mapping[str, Any]) -> None:
        self.rows: list[Row] = []
        self._common = {"benchmark": benchmark, **provenance}
        self._path = Path(path) if path else None
        if self._path:
            check_file("--output", self._path)

    def add(self, **values: Any) -> Row:
        """Write one row at once, so that an interrupted run keeps what it measured."""
        row = {**self._common, **values}
        self.rows.append(row)
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        return row


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
