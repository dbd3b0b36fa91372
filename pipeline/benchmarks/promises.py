"""The limits that this project promises for its attention, judged on measured rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.benchmarks.dictionary_share import dictionary_share
from pipeline.benchmarks.rows import Row


@dataclass(frozen=True)
class Promise:
    """One line: what was measured, the value, its limit. value None: it could not be measured."""

    what: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None

    COLUMNS: ClassVar[dict[str, str]] = {"what": "promise", "value": "measured", "limit": "limit", "met": "met"}

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    def to_row(self) -> Row:
        limit = f"≥ {self.at_least}" if self.at_least is not None else f"≤ {self.at_most}"
        return {"what": self.what, "value": self.value, "limit": limit, "met": self.met}


def cpu_promises(rows: Sequence[Row], rounds: int) -> list[Promise]:
    """On a CPU the default backend is ``dense``, measured at 16 windows of 256 tokens, k 64, 6 heads."""

    def ratio(key: str) -> float | None:
        return _ratio(rows, key, "dense", "mask", tokens=256, k=64, dtype="float32")

    return [
        Promise("default backend / mask, forward + backward time", ratio("forward_backward_ms"), at_most=1.0),
        Promise("default backend / mask, peak extra memory", ratio("forward_backward_mib"), at_most=0.85),
        Promise("dictionaries / stage forward, window 16, k 64", dictionary_share(rounds), at_most=0.15),
    ]


def gpu_promises(rows: Sequence[Row], rounds: int) -> list[Promise]:
    """On a GPU, bf16: the kernel against ``mask`` and PyTorch's SDPA, and a whole training step."""
    from pipeline.benchmarks.training_step import training_step_milliseconds

    promises = []
    for window, k in ((16, 64), (32, 256)):
        shape = {"tokens": window**2, "k": k, "dtype": "bfloat16"}
        for other, key, limit in (("mask", "ms", 4.0), ("sdpa", "ms", 1.5), ("mask", "mib", 10.0)):
            what = "forward + backward time" if key == "ms" else "peak extra memory"
            value = _ratio(rows, f"forward_backward_{key}", other, "triton", **shape)
            promises.append(Promise(f"{other} / triton, {what}, window {window}, k {k}", value, at_least=limit))
    steps = training_step_milliseconds(("mask", "triton"), rounds)
    what = "mask / triton, training step of columnar_small x2, batch 8 of 64², window 32, k 512"
    return [*promises, Promise(what, steps["mask"] / steps["triton"], at_least=1.5)]


def _ratio(rows: Sequence[Row], key: str, above: str, below: str, **shape: object) -> float | None:
    found = {
        row["backend"]: row.get(key) for row in rows if all(row.get(name) == value for name, value in shape.items())
    }
    a, b = found.get(above), found.get(below)
    return a / b if a is not None and b else None
