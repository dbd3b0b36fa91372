"""Weights that a run starts from: of the same model, of another color or scale; what is none is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import semanir
from pipeline.errors import UserError
from pipeline.training.initial import load_initial

SMALL = {"embed_dim": 8, "depths": (1, 1, 1), "window_size": 4, "k": 4, "bias_hidden_dim": 8}


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"damaged"), ("model.safetensors", None), ("config.json", b"{"), ("config.json", b"[1]")],
    ids=["damaged", "gone", "cut", "list"],
)
def test_a_damaged_start_is_named(file: str, content: bytes | None, tmp_path: Path) -> None:
    model = semanir.create_model("ushape_tiny", **SMALL)
    folder = semanir.save(model, tmp_path / "start")
    load_initial(model, str(folder))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=rf"model\.init {folder}: .*{file}") as refusal:
        load_initial(model, str(folder))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "size"), [("ushape_tiny", 1), ("columnar_tiny", 2)])
def test_a_gray_model_starts_as_the_color_model_in_gray(name: str, size: int, tmp_path: Path) -> None:
    small = {**SMALL, "depths": (1, 1)} if size == 2 else SMALL
    torch.manual_seed(0)
    color = semanir.create_model(name, zero_init_last=False, **small)
    gray = semanir.create_model(name, in_channels=1, out_channels=1, **small)
    load_initial(gray, str(semanir.save(color, tmp_path / "color")))
    image, features = torch.rand(2, 1, 12, 8), torch.rand(2, color.conv_last.in_channels, 12, 8)
    shallow = color.conv_first(image.expand(-1, 3, -1, -1) - color.input_mean)
    inside = (..., slice(1, -1), slice(1, -1))  # on the border a color model's padding is its mean color
    torch.testing.assert_close(gray.conv_first(image)[inside], shallow[inside])
    torch.testing.assert_close(gray.conv_last(features), color.conv_last(features).mean(dim=1, keepdim=True))
    with torch.inference_mode():
        assert (gray(image) - gray.skip(image)).abs().max() > 0.01  # all between them was taken too
    ends = ("conv_first.", "conv_last.")
    between = {key: value for key, value in color.state_dict().items() if not key.startswith(ends)}
    assert all(torch.equal(gray.state_dict()[key], value) for key, value in between.items())


def test_another_scale_starts_with_all_but_what_enlarges(tmp_path: Path) -> None:
    small = {**SMALL, "depths": (1, 1), "upsample_dim": 4}
    twice = semanir.create_model("columnar_tiny", upscale=2, zero_init_last=False, **small)
    four = semanir.create_model("columnar_tiny", upscale=4, **small).eval()
    load_initial(four, str(semanir.save(twice, tmp_path / "x2")))
    given = twice.state_dict()
    taken = {name for name, value in four.state_dict().items() if name in given and torch.equal(value, given[name])}
    assert taken >= {name for name in given if not name.startswith(("upsample.", "conv_last."))}
    image = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(four(image), four.skip(image))  # the last convolution is zero, as of a fresh model


@pytest.mark.parametrize("other", [{"embed_dim": 16}, {"depths": (1, 2, 1)}], ids=["width", "depth"])
def test_another_model_is_refused(other: dict[str, object], tmp_path: Path) -> None:
    folder = semanir.save(semanir.create_model("ushape_tiny", **{**SMALL, **other}), tmp_path / "other")
    with pytest.raises(UserError, match="not this model's weights"):
        load_initial(semanir.create_model("ushape_tiny", **SMALL), str(folder))
    gray = semanir.save(semanir.create_model("ushape_tiny", in_channels=1, out_channels=1, **SMALL), tmp_path / "gray")
    with pytest.raises(UserError, match="not this model's weights"):
        load_initial(semanir.create_model("ushape_tiny", **SMALL), str(gray))
