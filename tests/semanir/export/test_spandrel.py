"""Files for spandrel, loaded by spandrel itself."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import semanir
from semanir.export.file import SEAL
from semanir.export.spandrel import CONFIG_TENSOR, from_state, install, read_spandrel, to_spandrel


@pytest.fixture(scope="module")
def spandrel() -> Iterator[Any]:
    """torchvision's compiled operators belong to a CUDA build of torch; spandrel uses none of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torchvision._meta_registrations", types.ModuleType("_meta_registrations"))
        yield pytest.importorskip("spandrel")


def make(name: str, **config: Any) -> semanir.SemanIR:
    torch.manual_seed(0)
    return semanir.create_model(name, zero_init_last=False, **config).eval()


@pytest.mark.parametrize(
    ("name", "config", "purpose"),
    [
        ("ushape_tiny", {"depths": (1, 1, 1), "in_channels": 1, "out_channels": 1, "k": 7}, "Restoration"),
        ("columnar_tiny", {"depths": (1,), "upscale": 2}, "SR"),
    ],
)
def test_spandrel_restores_as_the_model_does(
    spandrel: Any, tmp_path: Path, name: str, config: dict[str, Any], purpose: str
) -> None:
    model = make(name, **config)
    to_spandrel(model, tmp_path / "model.safetensors", {"license": "Apache-2.0"})
    registry = spandrel.MAIN_REGISTRY.copy()
    install(registry)
    install(registry)
    found = spandrel.ModelLoader(registry=registry).load_from_file(tmp_path / "model.safetensors")
    assert (found.architecture.id, found.purpose, found.scale) == ("SemanIR", purpose, model.config.upscale)
    assert (found.input_channels, found.output_channels) == (model.config.in_channels, model.config.out_channels)
    image = torch.rand(1, model.config.in_channels, 13, 9, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(found(image), model(image).clamp(0, 1))


def test_installing_for_all_loaders_hides_no_other_architecture(spandrel: Any) -> None:
    before = [support.architecture.id for support in spandrel.MAIN_REGISTRY]
    install()
    assert [support.architecture.id for support in spandrel.MAIN_REGISTRY] == [*before, "SemanIR"]
    assert not spandrel.MAIN_REGISTRY["SemanIR"].detect({"conv_first.weight": torch.zeros(1)})


def test_what_was_written_is_read_and_what_was_altered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = make("ushape_tiny", depths=(1, 1, 1))
    to_spandrel(model, path, {"license": "Apache-2.0"})
    again, texts = read_spandrel(path)
    assert texts == {"license": "Apache-2.0"}
    assert again.config == model.config
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="was altered"):
        read_spandrel(path)
    path.write_bytes(content[:50])
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_spandrel(path)
    save_file(model.state_dict(), path)
    with pytest.raises(ValueError, match="was not written by semanir"):
        read_spandrel(path)


@pytest.mark.parametrize("texts", [{"license": "mine"}, {}, {"license": "Apache-2.0", "author": "me"}])
def test_altered_texts_are_refused(texts: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    to_spandrel(make("ushape_tiny", depths=(1, 1, 1)), path, {"license": "Apache-2.0"})
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it has no __iter__)
        seal = file.metadata()[SEAL]
    save_file(state, path, {"license": "Apache-2.0", SEAL: seal})
    read_spandrel(path)
    save_file(state, path, {**texts, SEAL: seal})
    with pytest.raises(ValueError, match="was altered"):
        read_spandrel(path)


def test_the_name_of_the_seal_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the name is the seal's"):
        to_spandrel(make("ushape_tiny", depths=(1, 1, 1)), tmp_path / "m", {SEAL: "0"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[" * 9_999, "not valid JSON"),
        (b"[1]", "must hold a JSON object, got list"),
        (b'{"embed_dim": "a"}', "incomplete or mistyped"),
        (b"", "not valid JSON"),
    ],
    ids=["cut", "deep", "list", "mistyped", "empty"],
)
def test_a_configuration_that_is_none_is_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "model.safetensors"
    to_spandrel(make("ushape_tiny", depths=(1, 1, 1)), path)
    state = load_file(path)
    state[CONFIG_TENSOR] = torch.tensor(list(text), dtype=torch.uint8)
    with pytest.raises(ValueError, match=said) as caught:
        from_state(state)
    assert "\n" not in str(caught.value)


def test_an_absurd_size_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = make("ushape_tiny", depths=(1, 1, 1))
    to_spandrel(model, path)
    state = load_file(path)
    config = {**model.config.to_dict(), "depths": [100, 100, 100]}
    state[CONFIG_TENSOR] = torch.tensor(list(json.dumps(config).encode()), dtype=torch.uint8)
    with pytest.raises(ValueError, match="300 layers"):
        from_state(state)
    state[CONFIG_TENSOR] = torch.zeros(2_000_000, dtype=torch.uint8)
    with pytest.raises(ValueError, match="at most 1048576 bytes"):
        from_state(state)
