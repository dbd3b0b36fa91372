"""What ``jobs/benchmark.py attention`` does: check, time and weigh every backend, then judge the promised lines.

A backend without gradients is checked, timed and weighed in the forward pass alone.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Mapping

import torch

from pipeline.benchmarks.attention_case import Attend, Case, Inputs, backends, forward, forward_backward, make_inputs
from pipeline.benchmarks.clock import median_milliseconds
from pipeline.benchmarks.memory import peak_extra_bytes
from pipeline.benchmarks.parity import errors, use_ieee_float32, verdict
from pipeline.benchmarks.promises import Promise, cpu_promises, gpu_promises
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.errors import UserError, first_line
from semanir.ops.attention.backends import BACKENDS, able_backends
from semanir.ops.attention.call import AttentionCall

# Tokens of all windows together: a batch of 8 images of 64 x 64 on a GPU, one such image on a CPU.
TOTAL_TOKENS = {"cpu": 64 * 64, "cuda": 8 * 64 * 64}
DTYPES = {"cpu": (torch.float32,), "cuda": (torch.float32, torch.bfloat16)}
# The published 30 channels a head; on a GPU the layer pads them to 32 for the kernel, and here for all alike.
HEAD_DIM = {"cpu": 30, "cuda": 32}
KEPT_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
GIB = 2**30

COLUMNS = {
    "tokens": "N", "k": "k", "windows": "windows", "dtype": "type", "backend": "backend",
    "forward_ms": "forward ms", "forward_backward_ms": "+ backward ms",
    "forward_mib": "forward MiB", "forward_backward_mib": "+ backward MiB", "worst_error": "error", "status": "status",
}  # fmt: skip


def run_attention(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a backend was wrong or a promised line was missed."""
    device = options.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu")
    use_ieee_float32()
    limit = options.memory_limit or (4.0 if device == "cpu" else torch.cuda.mem_get_info()[0] / GIB / 2)
    names = options.backends or [*able_backends(call_on(device, needs_grad=False)), "sdpa"]
    file = RowFile("attention", options.output, machine(device))
    for case in cases(device, options.tokens):
        inputs = make_inputs(case, device)
        reference = None
        if needed_gib("mask", case) <= limit:
            reference = forward_backward(backends(["mask"])["mask"], inputs)
        for dtype in DTYPES[device]:
            able = {name: attend for name, attend in backends(names).items() if needed_gib(name, case) <= limit}
            for name in names:
                if name not in able or reference is None:
                    about = f"left out: about {needed_gib(name, case):.0f} GiB, limit {limit:.0f}"
                    _add(file, case, dtype, name, {"status": about})
            if reference is not None:
                for name, values in measure(able, inputs.to(dtype), reference, options.rounds, device).items():
                    print(format_table(COLUMNS, [_add(file, case, dtype, name, values)]).splitlines()[-1], flush=True)
    rows = file.rows
    print(f"\n{format_table(COLUMNS, rows)}\n\n{memory_table(rows)}\n")
    promises = (cpu_promises if device == "cpu" else gpu_promises)(rows, options.rounds)
    for promise in promises:
        file.add(kind="promise", **promise.to_row())
    print(format_table(Promise.COLUMNS, [promise.to_row() for promise in promises]))
    wrong = any(row.get("status", "").startswith("wrong") for row in rows)
    return 1 if wrong or any(promise.met is False for promise in promises) else 0


def cases(device: str, tokens: list[int]) -> list[Case]:
    """Every N with each of the shares of its keys."""
    return [
        Case(
            windows=max(1, TOTAL_TOKENS[device] // n),
            tokens=n,
            k=max(1, int(n * share)),
            head_dim=HEAD_DIM[device],
        )
        for n in tokens
        for share in KEPT_SHARES
    ]


def call_on(device: str, needs_grad: bool) -> AttentionCall:
    """What is asked of every backend on a device, in the device's last type."""
    return AttentionCall(torch.device(device), DTYPES[device][-1], 256, HEAD_DIM[device], needs_grad)


def only_infers(backend: str, device: str) -> bool:
    """Whether it has no gradients there."""
    return backend in BACKENDS and backend not in able_backends(call_on(device, needs_grad=True))


def needed_gib(backend: str, case: Case) -> float:
    """A rough upper estimate of forward + backward in float32, so that no case exhausts the machine."""
    # PyTorch's own get the mask as a tensor, as `mask` makes it.
    held = BACKENDS[backend if backend in BACKENDS else "mask"]
    return 4 * case.windows * case.heads * case.tokens * held.numbers(case.tokens, case.k, case.head_dim) / GIB


def measure(
    able: Mapping[str, Attend], inputs: Inputs, reference: list[torch.Tensor], rounds: int, device: str
) -> dict[str, Row]:
    """Backend → errors, times and memory; a backend that is wrong or fails gets no figures."""
    low = None
    if inputs.leaves[0].dtype != torch.float32:
        low = errors(forward_backward(backends(["mask"])["mask"], inputs), reference)
    out: dict[str, Row] = {}
    for name, attend in able.items():
        try:
            if only_infers(name, device):
                with torch.no_grad():
                    found = errors([forward(attend, inputs)], reference[:1])
            else:
                found = errors(forward_backward(attend, inputs), reference)
        except Exception as error:  # what compiles raises whatever its compiler does; the others are measured still
            traceback.print_exc()
            out[name] = {"status": f"wrong: {type(error).__name__}: {first_line(error)}"}
            continue
        fault = verdict(found, low)
        status = "ok" if fault is None else f"wrong: {fault}"
        out[name] = {"errors": found, "worst_error": max(found), "status": status}
    right = [name for name, values in out.items() if values["status"] == "ok"]

    @torch.no_grad()
    def infer(attend: Attend) -> None:
        forward(attend, inputs)

    def train(attend: Attend) -> None:
        forward_backward(attend, inputs)

    for key, work in (("forward", infer), ("forward_backward", train)):
        measured = [name for name in right if work is infer or not only_infers(name, device)]
        calls = {name: (lambda attend=able[name], work=work: work(attend)) for name in measured}
        for name, milliseconds in median_milliseconds(calls, rounds, device).items():
            out[name][f"{key}_ms"] = milliseconds
            out[name][f"{key}_mib"] = peak_extra_bytes(calls[name], device) / 2**20
    return out


def memory_table(rows: list[Row]) -> str:
    """The paper's comparison: peak memory of the forward pass by N and k, one column per backend, in MiB."""
    names = list(dict.fromkeys(row["backend"] for row in rows))
    last = str(DTYPES["cuda"][-1]) if any(row["dtype"] == "bfloat16" for row in rows) else "float32"
    table: dict[tuple[int, int], Row] = {}
    for row in rows:
        if row["dtype"] == last.removeprefix("torch."):
            line = table.setdefault((row["tokens"], row["k"]), {"tokens": row["tokens"], "k": row["k"]})
            line[row["backend"]] = row.get("forward_mib")
    title = f"Peak extra memory of the forward pass, MiB, {last.removeprefix('torch.')}"
    return f"{title}\n{format_table({'tokens': 'N', 'k': 'k', **{n: n for n in names}}, list(table.values()))}"


def _add(file: RowFile, case: Case, dtype: torch.dtype, backend: str, values: Row) -> Row:
    shape = {"windows": case.windows, "tokens": case.tokens, "k": case.k, "heads": case.heads}
    shape |= {"head_dim": case.head_dim}
    return file.add(**shape, dtype=str(dtype).removeprefix("torch."), backend=backend, **values)
