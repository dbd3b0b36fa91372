"""The attention benchmark: nothing wrong is timed, rows say where they come from, promises are judged on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jobs import benchmark
from pipeline.benchmarks import attention_run, promises
from pipeline.benchmarks.attention_case import Case, backends, forward_backward, make_inputs
from pipeline.benchmarks.memory import peak_extra_bytes
from pipeline.benchmarks.model_run import default_backends
from pipeline.benchmarks.parity import errors, verdict
from pipeline.benchmarks.promises import Promise
from pipeline.benchmarks.training_step import training_step_milliseconds
from semanir.ops.attention.backends import BACKENDS
from semanir.ops.attention.call import AttentionCall

ROOT = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")
SMALL = Case(windows=2, tokens=33, k=5, heads=2, head_dim=6)


def test_job_writes_rows_with_their_provenance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(attention_run.TOTAL_TOKENS, "cpu", 64)
    monkeypatch.setattr(attention_run, "cpu_promises", lambda rows, rounds: [])
    output = tmp_path / "rows.jsonl"
    assert benchmark.main(["attention", "--tokens", "16", "--rounds", "1", "--output", str(output)]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    training, inferring = (
        [
            name
            for name, backend in BACKENDS.items()
            if backend.why_not(AttentionCall(CPU, torch.float32, 16, 30, grad)) is None
        ]
        for grad in (True, False)
    )
    assert [(row["k"], row["backend"]) for row in rows] == [
        (k, name) for k in (1, 2, 4, 8) for name in (*inferring, "sdpa")
    ]
    for row in rows:
        assert row["status"] == "ok"
        # Without gradients there is nothing to measure backward.
        measured = ("forward", "forward_backward") if row["backend"] in (*training, "sdpa") else ("forward",)
        assert min(row[f"{key}_{unit}"] for key in measured for unit in ("ms", "mib")) > 0
        assert set(row) >= {"commit", "device", "versions", "threads", "windows", "tokens", "heads", "head_dim"}
    assert "Peak extra memory" in capsys.readouterr().out


def test_an_unknown_backend_is_told_all_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["attention", "--tokens", "16", "--backends", "mask", "nope"]) == 2
    assert "unknown nope; known: " + ", ".join([*BACKENDS, "sdpa", "flex"]) in capsys.readouterr().err


def test_what_a_case_needs_is_estimated_by_the_table() -> None:
    case = Case(windows=4, tokens=1024, k=64, heads=6, head_dim=32)
    mib = {name: attention_run.needed_gib(name, case) * 1024 for name in ("mask", "gather", "dense", "triton", "sdpa")}
    assert mib == {"mask": 576, "gather": 768, "dense": 192, "triton": 192, "sdpa": 576}


def test_a_model_is_measured_by_what_auto_takes() -> None:
    assert default_backends("cpu") == ["mask", "dense"]


def test_a_wrong_backend_gets_no_time() -> None:
    inputs = make_inputs(SMALL, "cpu")
    right = backends(["mask"])["mask"]
    reference = forward_backward(right, inputs)
    able = {"right": right, "wrong": lambda *args, **kwargs: right(*args, **kwargs) * 1.001}
    rows = attention_run.measure(able, inputs, reference, 1, "cpu")
    assert rows["right"]["status"] == "ok"
    assert rows["wrong"]["status"].startswith("wrong: output: error 1.0e-03")
    assert "forward_ms" in rows["right"]
    assert "forward_ms" not in rows["wrong"]


def test_low_precision_is_held_to_twice_the_reference() -> None:
    inputs = make_inputs(SMALL, "cpu")
    reference = forward_backward(backends(["mask"])["mask"], inputs)
    rows = attention_run.measure(backends(["mask", "dense"]), inputs.to(torch.bfloat16), reference, 1, "cpu")
    assert [row["status"] for row in rows.values()] == ["ok", "ok"]


def test_verdict() -> None:
    nan, ones, zeros = torch.full((3,), float("nan")), torch.ones(3), torch.zeros(3)
    assert errors([nan], [ones]) == [float("inf")]
    assert errors([zeros + 1e-7], [zeros]) == pytest.approx([1e-7])
    assert verdict([0.0, 2e-5], None) == "gradient of query: error 2.0e-05, limit 1.0e-05"
    assert verdict([1.9e-2], [1e-2]) is None
    assert verdict([2.1e-2], [1e-2]) is not None


def test_peak_memory() -> None:
    def work() -> None:
        first = torch.empty(1 << 20)
        del first
        torch.empty(1 << 19) + torch.empty(1 << 19)

    assert peak_extra_bytes(work, "cpu") == 6 << 20


def test_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Promise("a", 4.0, at_least=4.0).met is True
    assert Promise("a", 0.9, at_most=0.85).met is False
    assert Promise("a", None, at_most=0.85).met is None
    monkeypatch.setattr(
        "pipeline.benchmarks.training_step.training_step_milliseconds", lambda *_: {"mask": 3, "triton": 2}
    )
    rows = [
        {
            "tokens": n,
            "k": k,
            "dtype": "bfloat16",
            "backend": name,
            "forward_backward_ms": ms,
            "forward_backward_mib": mib,
        }
        for n, k in ((256, 64), (1024, 256))
        for name, ms, mib in (("mask", 9.0, 50.0), ("sdpa", 2.0, 20.0), ("triton", 2.0, 4.0))
    ]
    judged = promises.gpu_promises(rows, 1)
    assert [p.value for p in judged] == [4.5, 1.0, 12.5, 4.5, 1.0, 12.5, 1.5]
    assert [p.met for p in judged] == [True, False, True, True, False, True, True]


def test_training_step_trains() -> None:
    times = training_step_milliseconds(("mask", "dense"), 1, device="cpu", model="columnar_tiny", side=8)
    assert set(times) == {"mask", "dense"}
    assert min(times.values()) > 0


def test_runs_where_only_torch_is_installed() -> None:
    """A borrowed GPU machine rarely has the rest."""
    script = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ray", "mlflow", "deepspeed", "pydantic", "rich", "boto3", "pyarrow", "PIL", "scipy",
                                  "skimage", "yaml", "webdataset", "safetensors"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import pipeline.benchmarks.attention_run, pipeline.benchmarks.model_run, pipeline.benchmarks.training_step
from jobs import benchmark
sys.exit(benchmark.main(["attention", "--device", "cuda"]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: the run would be the measurement itself")
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip() == "error: --device cuda: torch sees no CUDA device here; use --device cpu"
