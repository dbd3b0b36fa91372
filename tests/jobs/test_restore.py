from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import semanir
from jobs.restore import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return semanir.save(semanir.create_model("ushape_tiny", zero_init_last=False), tmp_path / "model")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("one.png", "two.png"):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_a_folder_is_restored_and_a_second_run_leaves_results_alone(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = [str(model), str(images), "--output", str(tmp_path / "out"), "--k", "4", "--device", "cpu"]
    assert main(call) == 0
    assert "2 restored, 0 skipped" in capsys.readouterr().out
    first = (tmp_path / "out" / "one.png").read_bytes()
    assert not np.array_equal(Image.open(tmp_path / "out" / "one.png"), Image.open(images / "one.png"))

    (tmp_path / "out" / "one.png").write_bytes(b"mine")
    assert main(call) == 0
    out = capsys.readouterr().out
    assert "one.png exists; give --overwrite" in out
    assert "0 restored, 2 were there already, 0 skipped" in out
    assert (tmp_path / "out" / "one.png").read_bytes() == b"mine"
    assert main([*call, "--overwrite"]) == 0
    assert (tmp_path / "out" / "one.png").read_bytes() == first


def test_a_damaged_file_is_named_and_the_others_are_restored(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "broken.png").write_bytes((images / "one.png").read_bytes()[:200])
    assert main([str(model), str(images), "--output", str(tmp_path / "out"), "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert "skipped" in out
    assert "broken.png: damaged" in out
    assert "2 restored, 1 skipped" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.png", "two.png"]


def test_bad_input_is_one_line_and_nothing_is_done(
    model: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    file = tmp_path / "file"
    file.write_text("")
    out = str(tmp_path / "out")
    for arguments, message in (
        (
            ["models:/semanir-jpeg-gray@champion", str(images), "--output", out],
            "MLFLOW_TRACKING_URI is not set",
        ),
        ([str(tmp_path / "nothing"), str(images), "--output", out], "does not exist"),
        ([str(model), str(tmp_path / "nothing"), "--output", out], "matches no image file"),
        ([str(model), str(images), "--output", str(file)], "cannot be written"),
        ([str(model), str(images), "--output", out, "--k", "0"], "argument --k: 0 is below 1"),
        ([str(model), str(images), "--output", out, "--k", "99999"], "k is 99999"),
        ([str(model), str(images), "--output", out, "--strength", "2"], "--strength: 2 is above 1, the most"),
        ([str(images), "--task", "weather", "--output", out], "no model for task 'weather' comes with the package"),
        ([str(model), str(images), "--output", out, "--tile", "3"], "tile 3 with overlap 32"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1


def test_pictures_alone_are_restored_by_what_comes_with_the_package(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main([str(images / "one.png"), "--device", "cpu", "--strength", "0"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("shipped:")
    assert "restores" in out.splitlines()[0]
    assert "no model was named; --task or --model chooses another" in out.splitlines()[0]
    np.testing.assert_array_equal(Image.open(tmp_path / "restored/one.png"), Image.open(images / "one.png"))
    assert main([str(images / "two.png"), "--task", "unified_color", "--device", "cpu"]) == 0
    assert "no model was named" not in capsys.readouterr().out


def test_help_answers_without_loading_torch() -> None:
    script = (
        "import sys; sys.argv = ['restore.py', '--help']\n"
        "from jobs.restore import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "assert not {'torch', 'mlflow', 'ray'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "models:/semanir-denoising-color@champion" in done.stdout
