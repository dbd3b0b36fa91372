"""Saving and loading: equal outputs, strict contents, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import semanir


def test_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = semanir.create_model("columnar_tiny", upscale=3, zero_init_last=False).eval()
    loaded = semanir.load(semanir.save(model, tmp_path / "weights"))
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert loaded.config == model.config
    assert not loaded.training
    x = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))


def test_whoever_the_umask_lets_may_read_what_is_saved(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    saved = semanir.save(semanir.create_model("ushape_tiny"), tmp_path / "model")
    assert {path.stat().st_mode for path in saved.iterdir()} == {(tmp_path / "any").stat().st_mode}


def test_state_dict_needs_its_config(tmp_path: Path) -> None:
    model = semanir.create_model("ushape_tiny")
    with pytest.raises(ValueError, match="needs its ModelConfig"):
        semanir.save(model.state_dict(), tmp_path)
    with pytest.raises(ValueError, match="differs"):
        semanir.save(model, tmp_path, semanir.model_config("ushape_tiny", k=3))
    semanir.save(model.state_dict(), tmp_path, model.config)
    assert semanir.load(tmp_path).config == model.config


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        semanir.load(tmp_path)
    semanir.save(semanir.create_model("ushape_tiny"), tmp_path)
    config = tmp_path / "config.json"
    good = json.loads(config.read_text())
    for text, message in (
        ("{", "not valid JSON"),
        ("[]", "must hold a JSON object, got list"),
        (json.dumps({**good, "window": 8}), "unknown model field window; known fields: family"),
        (json.dumps({**good, "embed_dim": 32}), r"does not fit its config\.json"),
        (json.dumps({**good, "depths": [1] * 17}), r"17 layers .*take \d+ bytes at least"),
    ):
        config.write_text(text)
        with pytest.raises(ValueError, match=message):
            semanir.load(tmp_path)
    config.write_text(json.dumps(good))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="does not fit"):
        semanir.load(tmp_path)


def test_an_address_that_nobody_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semanir.weights.SOURCES", "semanir.no-such-group")  # as if semanir stood alone
    with pytest.raises(ModuleNotFoundError, match="models:/semanir-jpeg-gray@champion needs a package"):
        semanir.load("models:/semanir-jpeg-gray@champion")


@pytest.mark.parametrize("address", ["s3://a/b", "https://a/b"])
def test_an_address_of_another_scheme_names_those_that_are_known(address: str) -> None:
    with pytest.raises(ValueError, match=f"{address}: .* is no scheme .* models:, runs:, shipped:"):
        semanir.load(address)


@pytest.mark.parametrize("device", ["tpu", "abacus:1", "cuda:99"])
def test_a_device_that_is_not_there_is_a_value_error(device: str, tmp_path: Path) -> None:
    folder = semanir.save(semanir.create_model("ushape_tiny"), tmp_path)
    with pytest.raises(ValueError, match=f"device '{device}' "):
        semanir.load(folder, device=device)
