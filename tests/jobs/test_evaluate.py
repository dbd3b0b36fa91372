from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import semanir
from jobs.evaluate import main
from jobs.prepare_data import main as prepare

ROOT = Path(__file__).resolve().parents[2]
HERE = ["--here", "--no-mlflow"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("one.png", "two.png"):
        Image.fromarray(rng.integers(0, 256, (36, 40, 3), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def packed(images: Path, tmp_path: Path) -> str:
    assert prepare([str(images), "--split", "Set5", "--output", str(tmp_path / "sets")]) == 0
    return str(tmp_path / "sets" / "Set5")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A training checkpoint's folder: its best weights are what is evaluated."""
    torch.manual_seed(0)
    model = semanir.create_model("columnar_tiny", depths=(2,), zero_init_last=False)
    semanir.save(model, tmp_path / "checkpoint" / "best")
    return tmp_path / "checkpoint"


def test_a_checkpoint_is_measured_drawn_and_continued(
    packed: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    call = [str(checkpoint), "--task", "sr_x2", "--images", packed, "--output", str(out), "--k", "8", "2",
            "--key-maps", "1", "9", "4", "--self-ensemble", *HERE]  # fmt: skip
    assert main(call) == 0
    first = capsys.readouterr().out
    for words in ("evaluating: 2/2 images", "| bicubic |", "| restored, k = 2 |", "| SemanIR-S | 38.57 |", "x8"):
        assert words in first
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "plan.json", "per_image.parquet", "table.md", "psnr_against_k.png", "keys_0001-two_9_4.png",
        "parts/00000000.parquet", "parts/00000001.parquet", "pictures/0000-one.png", "pictures/0001-two.png",
    }  # fmt: skip
    table = pq.read_table(out / "per_image.parquet").to_pandas()
    assert list(table["k"].dropna().unique()) == [2, 8]
    assert f"{table[table['method'] == 'bicubic']['psnr_db'].mean():.2f}" in first

    (out / "parts" / "00000001.parquet").unlink()
    assert main(call) == 0
    assert "evaluating: 1/2 images" in (again := capsys.readouterr().out)
    assert again.split("Model:")[1] == first.split("Model:")[1]


def test_a_baseline_needs_no_model(packed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model, shown in (("malvar", ["malvar"]), ("baselines", ["bilinear", "malvar"])):
        call = [model, "--task", "demosaicking", "--images", packed, "--output", str(tmp_path / model), *HERE]
        assert main(call) == 0
        out = capsys.readouterr().out
        assert [name for name in ("bilinear", "malvar") if f"| {name} |" in out] == shown
        assert "restored" not in out


def test_a_calibration_that_differs_fails(
    images: Path, packed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise under the name of a published set: its figures cannot be the published ones."""
    out = tmp_path / "calibration"
    assert main(["--calibrate", "--images", packed, str(images), "--output", str(out), "--here"]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("differs: sr_x") == 3
    assert (out / "calibration.md").read_text().count("| DIFFERS |") == 3


def test_bad_input_is_one_line_and_nothing_is_measured(
    packed: str,
    images: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "empty").mkdir()
    file = tmp_path / "file"
    file.write_text("")
    model, out = str(checkpoint), str(tmp_path / "out")
    sr = ["--task", "sr_x2"]
    for arguments, message in (
        (["models:/semanir-sr-x2@champion", "--images", packed, *sr], "MLFLOW_TRACKING_URI is not set"),
        ([str(tmp_path / "empty"), "--images", packed, *sr], "holds no model.safetensors"),
        ([str(tmp_path / "nothing"), "--images", packed, *sr], "does not exist"),
        ([model, "--images", packed], "which task?"),
        ([model, "--images", packed, "--task", "painting"], "unknown task 'painting'; choose among"),
        ([model, "--images", packed, "--task", "weather"], "weather needs 3 to 3 at scale 1"),
        ([model, "--images", str(tmp_path / "empty"), *sr], "holds no manifest.parquet"),
        ([model, "--images", str(images), *sr], "holds no manifest.parquet"),
        ([model, "--images", packed, *sr, "--k", "0"], "--k: 0 is below 1"),
        ([model, "--images", packed, *sr, "--set", "sigma=25"], "unknown key 'sigma'"),
        ([model, "--images", packed, *sr, "--key-maps", "2", "0", "0"], "image 2 of --key-maps does not exist"),
        ([model, "--images", packed, *sr, "--key-maps", "0", "18", "0"], "pixel 18,0 is outside"),
        (["bicubic", "--images", packed, *sr, "--key-maps", "0", "0", "0"], "key maps need a model"),
        (["bicubic", "--images", packed, *sr, "--lpips", str(file)], "is not a safetensors file"),
        (["malvar", "--images", packed, *sr], "sr_x2 has no baseline 'malvar'"),
        ([model, "--images", packed, *sr, "--output", str(file)], "is a file; a folder is needed"),
        (["--calibrate", "--images", str(tmp_path / "empty")], "no published figures"),
    ):
        assert main(["--output", out, *HERE, *arguments]) == 2, arguments
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1
        assert not (Path(out) / "parts").exists()


def test_a_damaged_set_is_named_and_gives_no_table(
    packed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shard,) = Path(packed).glob("*.tar")
    content = bytearray(shard.read_bytes())
    content[7000] ^= 1  # inside the second of two noisy images of more than 4 KiB
    shard.write_bytes(content)
    call = ["bicubic", "--task", "sr_x2", "--images", packed, "--output", str(tmp_path / "out"), *HERE]
    assert main(call) == 2
    assert "sample 'two'" in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / "table.md").exists()


def test_sets_with_missing_or_unequal_pairs_are_refused_when_packed(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    degraded = tmp_path / "degraded"
    degraded.mkdir()
    call = [str(images), "--degraded", str(degraded), "--split", "test", "--output", str(tmp_path / "pairs")]
    assert prepare(call) == 2
    assert "holds no images" in capsys.readouterr().err
    Image.new("RGB", (40, 36)).save(degraded / "one.png")
    assert prepare(call) == 2
    assert "no partner for 1 image of" in (error := capsys.readouterr().err)
    assert "the first is 'two'" in error
    Image.new("RGB", (40, 30)).save(degraded / "two.png")
    assert prepare(call) == 2
    assert "two.png: 40x36, but its degraded partner is 40x30" in (error := capsys.readouterr().err)
    assert error.count("error:") == 1


def test_help_answers_without_loading_torch() -> None:
    script = (
        "import sys; sys.argv = ['evaluate.py', '--help']\n"
        "from jobs.evaluate import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "assert not {'torch', 'mlflow', 'ray'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--calibrate" in done.stdout
