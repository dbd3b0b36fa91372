"""Exported files are checked against their model before they are given out, and carry what the registry knows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import semanir
from pipeline import registry
from pipeline.commands.main import main
from pipeline.errors import UserError
from pipeline.registry import AlteredModelError, ModelCard, export, pull, register
from pipeline.registry.export import FORMATS, check_file
from pipeline.registry.export_parity import EXACT, HALF, Parity, fault


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shallow model that changes an image about as much as a trained one does."""
    torch.manual_seed(0)
    model = semanir.create_model("ushape_tiny", depths=(2, 1, 1), zero_init_last=False)
    with torch.no_grad():
        model.conv_last.weight *= 0.2
    return semanir.save(model, tmp_path_factory.mktemp("exported") / "model")


@pytest.mark.usefixtures("tracking")
def test_a_registered_model_carries_task_card_license_and_digest(
    folder: Path,
    make_card: Callable[..., ModelCard],
    new_run: Callable[[], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register(folder, make_card("denoising_color"), run_id=new_run())
    uri, file = "models:/semanir-denoising-color@champion", tmp_path / "denoising.onnx"
    assert main(["models", "export", uri, "--output", str(file)]) == 0
    assert "denoising.onnx: 0." in capsys.readouterr().out
    texts = check_file(file)
    weights = (pull(uri) / "model.safetensors").read_bytes()
    assert texts["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert (texts["task"], texts["license"]) == ("denoising_color", "Apache-2.0")
    assert texts["model_card"].startswith("# SemanIR, denoising_color")
    assert main(["models", "export", uri, "--output", str(file)]) == 2
    assert "denoising.onnx exists; give --overwrite" in capsys.readouterr().err

    pulled = pull(uri)
    (pulled / "model_card.md").write_text("A better card.")
    with pytest.raises(AlteredModelError, match=r"model_card\.md was altered"):
        export.export(pulled, tmp_path / "other.onnx")


def test_the_license_is_found_under_the_heading_of_older_cards_too() -> None:
    assert export._license("# A\n\n## Licence\n\nMIT\n\n## Use\n") == "MIT"  # codespell:ignore
    assert export._license("# A\n\n## License\nApache-2.0. All allow it.") == "Apache-2.0. All allow it."
    assert export._license("# A\n") == "not stated"


def test_a_license_stands_alone_where_the_card_has_a_table() -> None:
    table = "## Photographs\n| file | author | license | source |\n|---|---|---|---|\n"
    told = "## License\nApache-2.0. Free; the credit is the table above.\n"
    rows = "| china | danielbuechele | CC-BY-2.0 | scikit-learn |\n| retina | M. H. | CC0-1.0 | scikit-image |\n"
    assert export._license(f"# A\n{table}{rows}{told}") == (
        "Apache-2.0. Free; the credit is china by danielbuechele, CC-BY-2.0, scikit-learn; "
        "retina by M. H., CC0-1.0, scikit-image."
    )
    assert export._license(f"# A\n{told}").endswith("the credit is the table in the model's card.")
    shipped = export.describe_folder(pull("shipped:unified_color"))["license"]
    assert "the table" not in shipped
    assert shipped.count(" by ") >= 13
    assert "Aitzol Berasategi, CC-BY-4.0" in shipped


@pytest.mark.parametrize("upscale", [1, 2])
def test_the_smallest_window_is_exported(upscale: int, tmp_path: Path) -> None:
    sizes = {"embed_dim": 4, "depths": (1,), "num_heads": 2, "window_size": 1, "k": 1, "upscale": upscale}
    model = semanir.create_model("columnar_tiny", **sizes)
    assert export.export(semanir.save(model, tmp_path / "model"), tmp_path / "model.onnx").size > 0


@pytest.mark.parametrize("error", [ValueError, RuntimeError, OSError])
def test_what_fails_on_the_way_is_one_line_with_the_name_given(
    error: type[Exception], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(model: semanir.SemanIR, path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half")
        raise error(f"{path.name} is no good\nfor details see the manual")

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=write))
    with pytest.raises(UserError, match=r"model\.onnx (was not written as onnx: |cannot be written)") as caught:
        export.export(folder, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "pull", lambda *_: pytest.fail("fetched"))
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    for place, said in {
        ".": "--output . is a folder",
        "..": "--output .. is a folder",
        "/": "--output / is a folder",
        "pipe": "--output pipe is no file that could be replaced",
        "no/model.onnx": "--output no/model.onnx: the folder no does not exist; make it first",
        "/proc/model.onnx": "--output /proc/model.onnx cannot be written",
    }.items():
        assert main(["models", "export", "shipped:photo", "--output", place, "--overwrite"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {said}")
        assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_an_export_says_what_it_does(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "export", str(folder), "--output", str(tmp_path / "model.onnx")]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "writing model.onnx",
        "checking against the model: 19x14 pixels, k 1, 16, 64",
        "checking against the model: 3x1 pixels, k 1, 16, 64",
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_a_person_checks_a_file(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped, file = pull("shipped:unified_color"), tmp_path / "model"
    model, texts = semanir.create_model("ushape_tiny", depths=(1, 1, 1)), export.describe_folder(shipped)
    FORMATS[form].write(model, file, {**texts, "license": texts["license"] + "\x1b[2J"})
    assert main(["models", "check", str(file)]) == 0
    first, *told = capsys.readouterr().out.splitlines()
    assert first == f"{file}: as it was written"
    assert told[:3] == [
        f"  format: {form.removesuffix('-float16')}",
        "  task: unified_color",
        "  card: SemanIR, unified_color, as shipped",
    ]
    assert told[3].startswith("  license: Apache-2.0. ")
    assert told[3].endswith(r".\x1b[2J")
    assert told[4:] == [f"  weights: sha256 {hashlib.sha256((shipped / 'model.safetensors').read_bytes()).hexdigest()}"]

    content = file.read_bytes()
    place = len(content) // 2
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert main(["models", "check", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file} ")
    assert error.count("\n") == 1


def test_what_is_no_exported_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").touch()
    for path, said in {
        tmp_path / "none": "cannot be read (No such",
        tmp_path: "cannot be read (Is a",
        tmp_path / "empty": "",
    }.items():
        assert main(["models", "check", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {path} {said}")
        assert error.count("\n") == 1


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_passes_its_own_check(form: str, folder: Path, tmp_path: Path) -> None:
    done = export.export(folder, tmp_path / "model.onnx", form)
    assert done.size == (tmp_path / "model.onnx").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert "weights_sha256" in check_file(done.path)
    assert done.path.stat().st_mode & 0o777 == (folder / "config.json").stat().st_mode & 0o777  # others may read it


def test_float16_halves_the_weights(folder: Path, tmp_path: Path) -> None:
    sizes = [export.export(folder, tmp_path / form, form).size for form in ("onnx", "onnx-float16")]
    weights = (folder / "model.safetensors").stat().st_size
    assert 0.3 * weights < sizes[0] - sizes[1] < 0.6 * weights


def test_a_file_that_differs_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight off by a little: nothing of the file stays."""

    def write(model: semanir.SemanIR, path: Path, metadata: dict[str, str]) -> None:
        with torch.no_grad():
            model.conv_last.bias += 0.01
            semanir.export.to_onnx(model, path, metadata)
            model.conv_last.bias -= 0.01

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=write))
    with pytest.raises(UserError, match=r"model.onnx was not written as onnx: .* a color shifts by 2.55 of 255 levels"):
        export.export(folder, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_a_check_sees(folder: Path) -> None:
    model = semanir.load(folder).eval()
    images = [torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))]

    def differing(change: Callable[[torch.Tensor], torch.Tensor], limit: Parity) -> str:
        with torch.no_grad():
            return fault(lambda image, k: change(model(image, k)), model, images, limit, [1, 16, 64])

    signs = torch.where(torch.rand(1, 3, 20, 20) < 0.5, -1.0, 1.0)
    assert differing(lambda x: x, EXACT) == ""
    assert differing(lambda x: x + 0.0005 * signs, EXACT) == ""  # 66 dB
    assert "dB from the model's output (at least 60" in differing(lambda x: x + 0.002 * signs, EXACT)  # 54 dB
    assert differing(lambda x: x + 0.002 * signs, HALF) == ""
    assert "a color shifts by 0.51" in differing(lambda x: x + 0.002, HALF)
    assert "not finite" in differing(lambda x: x / 0, HALF)
    assert "shape (1, 3, 20, 19), not (1, 3, 20, 20)" in differing(lambda x: x[..., 1:], HALF)


def test_bad_input_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert main(["models", "export", *arguments]) == 2
        return capsys.readouterr().err

    target = str(tmp_path / "model.onnx")
    known = ", ".join(FORMATS)
    assert refused(str(folder), "--output", target, "--format", "coreml") == (
        f"error: unknown format 'coreml'; known formats: {known}\n"
    )
    (tmp_path / "empty").mkdir()
    assert "error: " in refused(str(tmp_path / "empty"), "--output", target)
    spoiled = tmp_path / "spoiled.onnx"
    spoiled.write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"spoiled.onnx (is no ONNX model|was not written by semanir)"):
        check_file(spoiled)
