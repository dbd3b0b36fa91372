"""Packages for darktable, read as its own contract says (pipeline/registry/darktable.py names where it is written)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import semanir
from pipeline.commands.main import main
from pipeline.errors import UserError
from pipeline.registry import darktable, export


def save(folder: Path, name: str, **config: Any) -> Path:
    torch.manual_seed(0)
    model = semanir.create_model(name, zero_init_last=False, **config)
    with torch.no_grad():
        model.conv_last.weight *= 0.2
    return semanir.save(model, folder / "model")


def open_package(path: Path, folder: Path) -> tuple[dict[str, Any], Path]:
    """As darktable does: unpack, find the folder that holds config.json."""
    with zipfile.ZipFile(path) as package:
        package.extractall(folder)
    (config,) = folder.glob("*/config.json")
    return json.loads(config.read_text(encoding="utf-8")), config.parent


def test_the_shipped_model_is_installed_as_a_denoiser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "unified.dtmodel"
    arguments = ["models", "export", "shipped:unified_color", "--format", "darktable", "--output", str(file)]
    assert main(arguments) == 0
    assert "at least 60 dB from the model's own output" in capsys.readouterr().out
    config, folder = open_package(file, tmp_path)
    assert (config["id"], config["task"], config["backend"]) == ("denoise-semanir-unified-color", "denoise", "onnx")
    assert folder.name == config["id"]
    assert config["name"] == "denoise semanir unified color"
    assert config["description"].startswith("any one of: noise")
    assert config["model_card"]["license"].startswith("Apache-2.0")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, output.name) == ("input", "tensor(float)", "output")
    picture = np.random.default_rng(0).random((1, 3, 40, 56), dtype=np.float32)
    model = semanir.load("shipped:unified_color").eval()
    with torch.inference_mode():
        expected = model(torch.from_numpy(picture)).numpy()
    error = float(np.square(session.run(None, {"input": picture})[0] - expected).mean())
    assert error < 1e-6  # 60 dB
    assert export.check_file(file)["task"] == "unified_color"


def test_an_enlarging_model_has_the_name_that_darktable_looks_for(tmp_path: Path) -> None:
    done = export.export(save(tmp_path, "columnar_tiny", upscale=2, depths=(1,)), tmp_path / "x2.dtmodel", "darktable")
    config, folder = open_package(done.path, tmp_path / "there")
    assert (config["task"], config["type"]) == ("upscale", "multi")
    assert config["attributes"] == {"model_x2": {"input_sizes": [256]}}
    assert [path.name for path in sorted(folder.iterdir())] == ["config.json", "model_x2.onnx"]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = save(tmp_path, "ushape_tiny", depths=(1, 1, 1))
    first, second = (export.export(folder, tmp_path / name, "darktable").path.read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        (
            "ushape_tiny",
            {"depths": (1, 1, 1), "in_channels": 1, "out_channels": 1},
            "takes 1 channels to 1 at scale 1",
        ),
        ("columnar_tiny", {"depths": (1,), "upscale": 3}, "takes 3 channels to 3 at scale 3"),
    ],
)
def test_what_darktable_cannot_hand_over_is_refused(
    name: str, config: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        export.export(save(tmp_path, name, **config), tmp_path / "model.dtmodel", "darktable")
    assert not (tmp_path / "model.dtmodel").exists()


def test_a_model_of_mosaics_is_refused(tmp_path: Path) -> None:
    model = semanir.create_model("ushape_tiny", depths=(1, 1, 1))
    record = {"task": "demosaicking", "setting": "", "to_input": "malvar"}
    with pytest.raises(UserError, match="from a mosaic"):
        darktable.write(model, tmp_path / "m", {"task_record": json.dumps(record), "weights_sha256": "0"})


def test_an_altered_or_foreign_package_is_refused(tmp_path: Path) -> None:
    path = export.export(save(tmp_path, "ushape_tiny", depths=(1, 1, 1)), tmp_path / "a.dtmodel", "darktable").path
    config, folder = open_package(path, tmp_path / "there")
    graph = (folder / "model.onnx").read_bytes()
    right = {
        f"{config['id']}/config.json": (folder / "config.json").read_bytes(),
        f"{config['id']}/model.onnx": graph,
    }

    def check(members: dict[str, bytes]) -> dict[str, str]:
        altered = tmp_path / "altered.dtmodel"
        with zipfile.ZipFile(altered, "w") as package:
            for name, content in members.items():
                package.writestr(name, content)
        return export.check_file(altered)

    assert set(check(right)) == {"weights_sha256", "semanir_config"}
    mine = json.dumps({**config, "model_card": {"license": "mine"}}).encode()
    for name, members in {
        "a bit of the model": {
            **right,
            f"{config['id']}/model.onnx": graph[:-40] + bytes([graph[-40] ^ 1]) + graph[-39:],
        },
        "the license": {**right, f"{config['id']}/config.json": mine},
        "no configuration": {f"{config['id']}/model.onnx": graph},
        "the folder": {name.replace(config["id"], "other"): content for name, content in right.items()},
        "two folders": {f"{config['id']}/config.json": right[f"{config['id']}/config.json"], "other/model.onnx": graph},
        "one more file": {**right, f"{config['id']}/run.lua": b"os.exit()"},
    }.items():
        with pytest.raises(UserError, match=r"altered\.dtmodel was altered: "):
            pytest.fail(f"{name}: {check(members)}")
    cut = tmp_path / "cut.dtmodel"
    content = path.read_bytes()
    cut.write_bytes(content[:200] + bytes(60) + content[260:])
    with pytest.raises(UserError, match="is no package for darktable: "):
        export.check_file(cut)
    foreign = tmp_path / "foreign.dtmodel"
    with zipfile.ZipFile(foreign, "w") as package:
        package.writestr("readme.txt", "nothing")
    with pytest.raises(UserError, match="is no package for darktable: it holds 0 models"):
        export.check_file(foreign)
