"""A few steps under torch.profiler, when asked for: a trace to look into, and the operators that took longest.

The files reach the run's record by the same way as its figures; open the trace in https://ui.perfetto.dev.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile

from pipeline.training.context import WorkerContext

FOLDER = "profile"
MOST_TRACE_BYTES = 32 << 20  # gzipped: it waits in the memory of the driver while MLflow is away
OPERATORS = 30


class StepProfile:
    """Records the steps ``first``–``last`` (1-based) of rank 0; does nothing on other ranks and for ``steps`` None.

    A run that is resumed in between records what is left of them; one interrupted in between records nothing.
    """

    def __init__(self, steps: tuple[int, int] | None, context: WorkerContext) -> None:
        self._steps = steps if context.rank == 0 else None
        self._context = context
        self._profiler: profile | None = None
        self._first = 0

    def before(self, step: int) -> None:
        """``step`` is about to begin."""
        if self._steps is None or self._profiler is not None or not self._steps[0] <= step <= self._steps[1]:
            return
        activities = [ProfilerActivity.CPU]
        if self._context.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._first, self._profiler = step, profile(activities=activities)
        self._profiler.start()

    def after(self, step: int) -> None:
        """``step`` is done; after the last one the files are on their way."""
        if self._steps is None or self._profiler is None or step < self._steps[1]:
            return
        if self._context.device.type == "cuda":
            torch.cuda.synchronize(self._context.device)  # what is queued belongs to the steps too
        self._profiler.stop()
        self._send(self._profiler, f"{FOLDER}/steps-{self._first}-{step}")
        self._profiler = self._steps = None

    def _send(self, profiler: profile, name: str) -> None:
        order = "self_device_time_total" if self._context.device.type == "cuda" else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=order, row_limit=OPERATORS, max_name_column_width=60)
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / "trace.json.gz"
            profiler.export_chrome_trace(str(path))
            size = path.stat().st_size
            if size <= MOST_TRACE_BYTES:
                self._context.file(f"{name}.trace.json.gz", path.read_bytes())
            else:
                table += (
                    f"\nThe trace has {size >> 20} MiB, more than the {MOST_TRACE_BYTES >> 20} MiB that are sent: "
                    "set fewer training.profile_steps"
                )
        self._context.file(f"{name}.operators.txt", table.encode())
