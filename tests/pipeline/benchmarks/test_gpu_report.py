"""The GPU report's every path, at tiny sizes on a CPU, with nothing of the cluster at hand; and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.benchmarks import attention_case, gpu_attention, gpu_page, gpu_report, gpu_run
from pipeline.benchmarks.attention_case import Case, Inputs, backends, forward, make_inputs
from pipeline.benchmarks.gpu_page import BY_HAND, Section, as_block, read_blocks, write_page
from pipeline.benchmarks.gpu_sizes import SMALL, Sizes
from pipeline.commands.main import main

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
    assert text.count("\n## ") == len(gpu_page.SECTIONS)
    assert list(gpu_page.read_blocks(page)) == list(gpu_page.SECTIONS) == list(gpu_run.MEASURE)
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

    monkeypatch.setattr(gpu_run, "MEASURE", dict.fromkeys(gpu_page.SECTIONS, broken))
    page = tmp_path / "gpu.md"
    once = ["--device", "cpu", "--small", "--page", str(page), "--sections", "training"]
    assert gpu_report.main(once) == 1
    assert "\n\nNo figures.\nFault: RuntimeError: no kernel image\n" in page.read_text()
    late = [*once, "restoring", "--minutes", "1e-9"]
    assert gpu_report.main(late) == 1
    blocks = read_blocks(page)
    assert list(blocks) == ["training", "restoring"]
    assert blocks["training"].endswith("no kernel image")  # what was measured is not lost to a run without time
    assert blocks["restoring"].endswith("Fault: not reached in the given time")


def test_sections_that_are_not_asked_for_stay_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(sizes: Sizes, device: str) -> Section:
        return Section("Anew", {"value": "value"}, [{"value": 2}])

    monkeypatch.setattr(gpu_run, "MEASURE", {**gpu_run.MEASURE, "dictionary": measured})
    page = tmp_path / "gpu.md"
    page.write_bytes(gpu_run.PAGE.read_bytes())
    before = read_blocks(page)
    asked = ["--device", "cpu", "--small", "--page", str(page), "--sections", "dictionary"]
    assert gpu_report.main(asked) == 0
    after = read_blocks(page)
    assert after.pop("dictionary").startswith("## Anew")
    before.pop("dictionary")
    assert after == before
    assert _by_hand(page) == _by_hand(gpu_run.PAGE)


def _by_hand(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition(BY_HAND)[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "cpu"], "--device cpu runs tiny sizes only"),
        (["--device", "cpu", "--page", "page.md"], "add --small --page FILE"),
        (["--device", "cpu", "--small"], "--small gives no figures for gpu.md, the measured page; give --page FILE"),
        (["--device", "cpu", "--small", "--page", "no/gpu.md"], "the folder no does not exist; make it first"),
        (["--device", "cpu", "--small", "--page", "folder"], "--page folder is a folder; give a file in it"),
        (["--device", "cpu", "--small", "--page", "picture.md"], "--page picture.md is no text"),
        (["--device", "cpu", "--small", "--page", "page.md", "--output", "folder"], "--output folder is a folder"),
        (["--device", "cpu", "--small", "--page", "page.md", "--output", "no/rows"], "the folder no does not exist"),
    ],
)
@pytest.mark.parametrize("door", ["module", "command"])
def test_what_gives_no_page_is_refused_before_anything_is_measured(
    door: str,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(gpu_run, "MEASURE", dict.fromkeys(gpu_page.SECTIONS, lambda *_: pytest.fail("measured")))
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("picture.md").write_bytes(b"\xff")
    status = gpu_report.main(arguments) if door == "module" else main(["benchmark", "gpu", *arguments])
    assert status == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("page.md").exists()


@pytest.mark.parametrize("arguments", [[], ["--small"]])
def test_without_a_gpu_the_remedy_harms_no_measured_page(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = gpu_run.PAGE.read_bytes()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_report.main(arguments) == 2
    assert "torch sees no CUDA device here; --device cpu --small --page FILE" in capsys.readouterr().err
    assert gpu_run.PAGE.read_bytes() == before


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    provenance = {"device": "a GPU", "versions": {}, "python": "3", "commit": "c", "time": "t"}
    page = tmp_path / "gpu.md"
    page.write_text(f"# Old\n\n## Measured\n\n{BY_HAND}\n\n## By hand\n\n7.4 ms | at night\n")
    for title in ("First", "Second"):
        block = as_block(Section(title, fault="none"), provenance, small=False)
        write_page(page, {"training": block})
        assert read_blocks(page) == {"training": block}
        text = page.read_text()
        assert text.endswith(f"\n\n---\n\n{BY_HAND}\n\n## By hand\n\n7.4 ms | at night\n")
        assert text.count("## ") == 2
        assert f"## {title}\n" in text
        assert "but for what stands below the line: that was written by hand" in text
    bare = tmp_path / "bare.md"
    write_page(bare, {})
    assert "by hand" not in bare.read_text()


def test_the_measured_page_says_of_each_section_where_it_was_measured() -> None:
    blocks = read_blocks(gpu_run.PAGE)
    assert set(blocks) <= set(gpu_page.SECTIONS)
    for block in blocks.values():
        assert re.search(r"^NVIDIA .+, torch .+, commit [0-9a-f]{7}, \d{4}-\d\d-\d\dT", block, re.MULTILINE)


@torch.no_grad()
def test_flex_attention_is_the_same_attention() -> None:
    made = make_inputs(Case(windows=2, tokens=40, k=9, heads=2, head_dim=16), "cpu")
    inputs = Inputs([leaf.detach() for leaf in made.leaves], made.dictionary, made.grad)  # it has no gradient on a CPU
    found, expected = (forward(attend, inputs) for attend in backends(["flex", "mask"]).values())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
