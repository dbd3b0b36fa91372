"""The GPU report's every path, at tiny sizes on a CPU, with nothing of the cluster at hand; and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.benchmarks import attention_case, gpu_attention, gpu_report, gpu_run
from pipeline.benchmarks.attention_case import Case, Inputs, backends, forward, make_inputs
from pipeline.benchmarks.gpu_page import Section
from pipeline.benchmarks.gpu_sizes import SMALL, Sizes

ROOT = Path(__file__).resolve().parents[3]
_REFUSE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ray", "mlflow", "deepspeed", "boto3", "pyarrow", "webdataset", "pydantic", "rich"}:
            raise ModuleNotFoundError(f"the report must not need {name}", name=name)
sys.meta_path.insert(0, Refuse())
sys.argv[0] = "gpu_report"
runpy.run_module("pipeline.benchmarks.gpu_report", run_name="__main__")
"""


def test_every_path_runs_with_torch_alone(tmp_path: Path) -> None:
    page, rows = tmp_path / "gpu.md", tmp_path / "rows.jsonl"
    command = [sys.executable, "-c", _REFUSE, "--device", "cpu", "--small", "--page", str(page), "--output", str(rows)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text()
    assert text.count("\n## ") == len(gpu_run.SECTIONS)
    assert "Its times mean nothing" in text
    assert "Fault" not in text
    measured = [json.loads(line) for line in rows.read_text().splitlines()]
    assert {row["backend"] for row in measured if "forward_ms" in row} >= {"mask", "gather", "dense", "sdpa"}
    assert {row["status"] for row in measured} == {"ok", "not run on a CPU: compiling takes minutes"}
    for name in ("times_sdpa", "ratio", "ms", "rate", "gib"):
        assert any(row.get(name, 0) > 0 for row in measured), name


def test_a_wrong_backend_has_no_figure_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, *, scale: Tensor, bias: Tensor) -> Tensor:
        right = attention_case.sdpa_attention(query, key, value, dictionary, scale=scale, bias=bias)
        return right * 1.001

    monkeypatch.setitem(attention_case.FOREIGN, "sdpa", wrong)
    section = gpu_attention.attention_section(SMALL, "cpu")
    assert section.wrong
    by_name = {row["backend"]: row for row in section.rows}
    assert by_name["sdpa"]["status"].startswith("wrong: output: error 1.0e-03")
    assert "forward_ms" not in by_name["sdpa"]
    assert by_name["dense"]["times_sdpa"] is None


def test_a_backend_that_raises_leaves_the_others_their_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: Tensor, **__: Tensor) -> Tensor:
        raise AssertionError("no kernel\nfor this card")

    monkeypatch.setitem(attention_case.FOREIGN, "sdpa", raising)
    by_name = {row["backend"]: row for row in gpu_attention.attention_section(SMALL, "cpu").rows}
    assert by_name["sdpa"]["status"] == "wrong: AssertionError: no kernel"
    assert by_name["dense"]["forward_ms"] > 0


def test_what_fails_or_comes_too_late_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sizes: Sizes, device: str) -> Section:
        """A broken section"""
        raise RuntimeError("no kernel image\nfor this card")

    monkeypatch.setattr(gpu_run, "SECTIONS", (broken,))
    page = tmp_path / "gpu.md"
    assert gpu_report.main(["--device", "cpu", "--small", "--page", str(page)]) == 1
    assert "## A broken section\n\nNo figures.\nFault: RuntimeError: no kernel image\n" in page.read_text()
    assert gpu_report.main(["--device", "cpu", "--small", "--page", str(page), "--minutes", "1e-9"]) == 1
    assert "Fault: not reached in the given time" in page.read_text()


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not torch.cuda.is_available():
        assert gpu_report.main(["--page", str(tmp_path / "gpu.md")]) == 2
        assert "torch sees no CUDA device here; --device cpu --small" in capsys.readouterr().err
    assert gpu_report.main(["--device", "cpu", "--page", str(tmp_path / "no" / "gpu.md")]) == 2
    assert "does not exist; make it first" in capsys.readouterr().err


@torch.no_grad()
def test_flex_attention_is_the_same_attention() -> None:
    made = make_inputs(Case(windows=2, tokens=40, k=9, heads=2, head_dim=16), "cpu")
    inputs = Inputs([leaf.detach() for leaf in made.leaves], made.dictionary, made.grad)  # it has no gradient on a CPU
    found, expected = (forward(attend, inputs) for attend in backends(["flex", "mask"]).values())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
