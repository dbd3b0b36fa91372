"""One refreshing line per running task on a terminal; plain lines, a few a minute, anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.wording import LINE_EVERY_S, duration


@dataclass
class _Line:
    steps: int
    phase: str = "waiting for room"
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    printed_at: float = 0.0

    def text(self) -> str:
        rate = self.metrics.get("samples_per_second", 0.0)
        parts = [f"{self.phase:<10} step {self.step:>6}/{self.steps}"]
        if "loss" in self.metrics:
            parts.append(f"loss {self.metrics['loss']:.4f}")
        if rate:
            parts.append(f"{rate:.1f} samples/s")
            left = (self.steps - self.step) * self.metrics["samples_per_step"] / rate
            parts.append(f"{duration(left)} left")
        if "val_psnr" in self.metrics:
            parts.append(f"val {self.metrics['val_psnr']:.2f} dB")
        return "  ".join(parts)


class Progress:
    """Safe to call from the threads of all tasks. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def start(self, task: str, steps: int) -> None:
        """Give ``task`` a line."""
        with self._lock:
            self._lines[task] = _Line(steps)

    def phase(self, task: str, phase: str) -> None:
        """Say what ``task`` is doing now."""
        with self._lock:
            line = self._lines[task]
            line.phase = phase
            self._say(f"{task:<16} {phase}")

    def update(self, task: str, step: int, metrics: Mapping[str, float], samples_per_step: int) -> None:
        """New figures of ``task``."""
        with self._lock:
            line = self._lines[task]
            line.step = step
            line.metrics.update(metrics, samples_per_step=samples_per_step)
            now = time.monotonic()
            if now - line.printed_at >= LINE_EVERY_S:
                line.printed_at = now
                self._say(f"{task:<16} {line.text()}")

    def note(self, task: str, message: str) -> None:
        """A line of its own about ``task``, which goes on."""
        with self._lock:
            self._console.print(f"{task:<16} {message}", highlight=False, markup=False, soft_wrap=True)

    def done(self, task: str, message: str) -> None:
        """Close the line of ``task`` with a last word."""
        with self._lock:
            self._lines.pop(task, None)
            self._console.print(f"{task:<16} {message}", highlight=False, markup=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for task, line in self._lines.items():
                table.add_row(task, line.text())
        return table
