"""The report's first two sections: attention of every backend beside PyTorch's own, and building the dictionary."""

from __future__ import annotations

import torch

from pipeline.benchmarks.attention_case import FOREIGN, backends, forward_backward, make_inputs
from pipeline.benchmarks.attention_run import measure
from pipeline.benchmarks.clock import median_milliseconds
from pipeline.benchmarks.gpu_page import Section
from pipeline.benchmarks.gpu_sizes import Sizes
from pipeline.benchmarks.rows import Row
from semanir.ops import key_semantic_dictionary
from semanir.ops.attention.backends import able_backends
from semanir.ops.attention.call import AttentionCall
from semanir.ops.dictionary.bits import num_words
from semanir.ops.dictionary.naive import naive_dictionary

_ATTENTION = {
    "tokens": "N", "k": "k", "dtype": "type", "backend": "backend", "forward_ms": "forward ms",
    "forward_backward_ms": "forward + backward ms", "forward_backward_mib": "extra MiB",
    "times_mask": "times faster than mask", "memory_mask": "times less memory", "times_sdpa": "times faster than sdpa",
    "worst_error": "error", "status": "parity",
}  # fmt: skip


def attention_section(sizes: Sizes, device: str) -> Section:
    """Attention, forward and forward + backward"""
    rows = []
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    for case in sizes.attention:
        call = AttentionCall(torch.device(device), dtype, case.tokens, case.head_dim, needs_grad=True)
        names = [*able_backends(call), *FOREIGN]
        if device == "cpu":
            names.remove("flex")  # it has no gradient on a CPU; its result is compared in its own test
        inputs = make_inputs(case, device)
        reference = forward_backward(backends(["mask"])["mask"], inputs)
        found = measure(backends(names), inputs.to(dtype), reference, sizes.rounds, device)
        for name, values in found.items():
            ratios = {
                "times_mask": _ratio(found["mask"], values, "forward_backward_ms"),
                "memory_mask": _ratio(found["mask"], values, "forward_backward_mib"),
                "times_sdpa": _ratio(found["sdpa"], values, "forward_backward_ms"),
            }
            shape = {"tokens": case.tokens, "k": case.k, "dtype": str(dtype).removeprefix("torch."), "backend": name}
            rows.append({**shape, **values, **ratios})
    return Section("Attention, forward and forward + backward", _ATTENTION, rows)


def dictionary_section(sizes: Sizes, device: str) -> Section:
    """Building the dictionary"""
    rows = []
    generator = torch.Generator(device).manual_seed(0)
    for case in sizes.attention:
        # Whole numbers: every runtime's products are exact, so the reference can be matched bit by bit, ties included.
        shape = (case.windows, case.tokens, case.heads * case.head_dim)
        windows = torch.randint(-2, 3, shape, generator=generator, device=device).float()
        same = torch.equal(key_semantic_dictionary(windows, case.k), naive_dictionary(windows, case.k))
        row: Row = {"tokens": case.tokens, "k": case.k, "windows": case.windows}
        row["status"] = "ok" if same else "wrong: not the stable sort's dictionary"
        if same:
            windows = torch.randn(shape, generator=generator, device=device)
            calls = {
                "build": lambda windows=windows, k=case.k: key_semantic_dictionary(windows, k),
                "topk": lambda windows=windows, k=case.k: (windows @ windows.mT).topk(k, dim=-1, sorted=False),
            }
            times = median_milliseconds(calls, sizes.rounds, device)
            row |= {"build_ms": times["build"], "topk_ms": times["topk"], "ratio": times["topk"] / times["build"]}
            row["kib"] = case.windows * case.tokens * num_words(case.tokens) * 4 / 1024
        rows.append(row)
    columns = {
        "tokens": "N", "k": "k", "windows": "windows", "build_ms": "dictionary ms",
        "topk_ms": "product + torch.topk ms", "ratio": "torch.topk / dictionary", "kib": "KiB kept", "status": "parity",
    }  # fmt: skip
    return Section("Building the dictionary", columns, rows)


def _ratio(above: Row, below: Row, key: str) -> float | None:
    a, b = above.get(key), below.get(key)
    return a / b if a and b else None
