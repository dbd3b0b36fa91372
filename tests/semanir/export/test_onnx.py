"""One ONNX file serves every batch, size and k, restores as the model does, and says what it is."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor

import semanir
from pipeline.registry.export_parity import in_onnxruntime, in_openvino, psnr
from semanir.export import file, read_onnx_metadata, to_onnx

RUNTIMES = {"onnxruntime": in_onnxruntime, "openvino": in_openvino}
MODELS = {
    "ushape": ("ushape_tiny", {}),
    "ushape_gray_per_stage": ("ushape_tiny", {"in_channels": 1, "out_channels": 1, "shift": "per_stage"}),
    "ushape_three_levels": ("ushape_tiny", {"depths": (1, 1, 2, 1, 1, 1), "image_skip": False}),
    "ushape_cautious": ("ushape_tiny", {"caution": (0.3, 1, 60)}),  # in between, where every value counts
    "columnar_x2": ("columnar_tiny", {}),
    "columnar_x3": ("columnar_tiny", {"upscale": 3, "depths": (2,)}),
}
SHORT = [(1, 1), (9, 40), (21, 16)]
EVERY_SIZE = [
    (1, 1), (1, 2), (2, 1), (1, 64), (3, 3), (7, 8), (8, 8), (8, 9), (9, 9), (15, 16), (16, 16), (17, 31), (24, 5),
    (32, 32), (33, 65), (40, 8), (47, 48), (64, 64), (65, 64), (71, 90),
]  # fmt: skip
EVERY_K = [1, 4, 16, 40, 64]


def make(name: str) -> semanir.SemanIR:
    """A model that changes an image about as much as a trained one does."""
    size, overrides = MODELS[name]
    torch.manual_seed(0)
    model = semanir.create_model(size, zero_init_last=False, **overrides).eval()
    with torch.no_grad():
        model.conv_last.weight *= 0.2
    return model


def image_of(model: semanir.SemanIR, height: int, width: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(batch, model.config.in_channels, height, width, generator=generator)


def check(model: semanir.SemanIR, path: Path, runtime: str, sizes: list[tuple[int, int]], keys: list[int]) -> None:
    run = RUNTIMES[runtime](path, threads=1)
    for height, width in sizes:
        for k in keys:
            image = image_of(model, height, width, batch=1 + (height + width) % 2)
            with torch.no_grad():
                expected = model(image, k)
            found = run(image, k)
            assert found.shape == expected.shape
            assert psnr(found, expected) >= 60, f"{height}x{width}, k {k}"


@pytest.mark.parametrize("name", MODELS)
def test_restores_as_the_model_does(name: str, tmp_path: Path) -> None:
    model = make(name)
    to_onnx(model, tmp_path / "model.onnx")
    check(model, tmp_path / "model.onnx", "onnxruntime", SHORT, [1, 16, 64])


@pytest.mark.parametrize("name", ["ushape", "columnar_x2"])
def test_every_parameter_counts(name: str, tmp_path: Path) -> None:
    """A bias starts at zero and a norm's scale at one: here none does. Every key is kept: a near tie moves nothing."""
    model = make(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    to_onnx(model, tmp_path / "model.onnx")
    check(model, tmp_path / "model.onnx", "onnxruntime", [(9, 13)], [64])


@pytest.mark.parametrize("name", ["ushape", "columnar_x3"])
def test_openvino_restores_as_the_model_does(name: str, tmp_path: Path) -> None:
    """Two sizes and one k: it compiles kernels for every new shape, a second each."""
    model = make(name)
    to_onnx(model, tmp_path / "model.onnx")
    check(model, tmp_path / "model.onnx", "openvino", [(9, 13), (17, 8)], [16])


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", MODELS)
def test_every_size_and_k(name: str, runtime: str, tmp_path: Path) -> None:
    model = make(name)
    to_onnx(model, tmp_path / "model.onnx")
    check(model, tmp_path / "model.onnx", runtime, EVERY_SIZE, EVERY_K)


def test_k_matters_and_is_held_to_the_window(tmp_path: Path) -> None:
    model = make("ushape")
    to_onnx(model, tmp_path / "model.onnx")
    run, image = in_onnxruntime(tmp_path / "model.onnx"), image_of(model, 16, 16)
    assert psnr(run(image, 2), run(image, 64)) < 60
    assert torch.equal(run(image, 64), run(image, 1000))
    assert torch.equal(run(image, 1), run(image, -3))


def test_a_fixed_k_leaves_the_image_as_the_only_input(tmp_path: Path) -> None:
    model = make("columnar_x2")
    to_onnx(model, tmp_path / "model.onnx", fixed_k=5)
    image = image_of(model, 12, 9)
    with torch.no_grad():
        assert psnr(in_onnxruntime(tmp_path / "model.onnx")(image, 5), model(image, 5)) >= 60
    with pytest.raises(ValueError, match="k is 65"):
        to_onnx(model, tmp_path / "other.onnx", fixed_k=65)


@pytest.mark.parametrize("name", ["ushape_base", "columnar_base"])
def test_published_sizes_fit_the_limits(name: str) -> None:
    """Under 5,000 nodes of ONNX's own operators, no external data."""
    narrow = {"embed_dim": 12, "num_heads": 6, "window_size": 4}  # the nodes are those of the published widths
    proto = file.build(semanir.create_model(name, **narrow), {"task": "none"})
    assert 1000 < len(proto.graph.node) < 5000
    assert {node.domain for node in proto.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert not any(tensor.external_data for tensor in proto.graph.initializer)


@pytest.mark.parametrize("name", ["ushape", "columnar_x3"])
def test_parameters_keep_their_names(name: str) -> None:
    """But for those of which something else is made: position biases and logit scales."""
    model = make(name)
    stored = {tensor.name for tensor in file.build(model, {}).graph.initializer}
    made = {"position_bias", "logit_scale"}
    kept = {own for own, _ in model.named_parameters() if made.isdisjoint(own.split("."))}
    # A join stands with the stage that it leads into, and a halving's two steps are one.
    assert {
        re.sub(r"^joins\.(\d+)", r"decoder.\1.join", re.sub(r"^(downs\.\d+)\.1", r"\1", own)) for own in kept
    } <= stored


@pytest.mark.parametrize("name", ["ushape", "columnar_x2"])
def test_half_precision_is_half_as_large_and_nearly_as_good(name: str, tmp_path: Path) -> None:
    model, path = make(name), tmp_path / "model.onnx"
    to_onnx(model, path)
    whole = path.stat().st_size
    to_onnx(model, path, half=True)
    assert path.stat().st_size < 0.7 * whole
    image = image_of(model, 12, 9)
    with torch.no_grad():
        assert psnr(in_onnxruntime(path)(image, 16), model(image, 16)) >= 40


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    model, path = make("ushape"), tmp_path / "model.onnx"
    to_onnx(model, path, {"task": "denoising_color", "license": "Apache-2.0"})
    texts = read_onnx_metadata(path)
    assert texts["task"] == "denoising_color"
    assert '"window_size": 8' in texts["semanir_config"]
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    with pytest.raises(ValueError, match="content_sha256"):
        to_onnx(model, path, {"content_sha256": "mine"})


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    to_onnx(make("ushape"), path, {"task": "denoising_color"})
    whole = path.read_bytes()
    for position in range(100, len(whole), len(whole) // 23):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ValueError, match=r"altered|no ONNX model|not written by semanir"):
            read_onnx_metadata(path)
    path.write_bytes(whole[:5000])
    with pytest.raises(ValueError, match=r"no ONNX model|not written by semanir"):
        read_onnx_metadata(path)
    other = onnx.helper.make_model(onnx.helper.make_graph([], "other", [], []))
    onnx.save(other, path)
    with pytest.raises(ValueError, match="was not written by semanir"):
        read_onnx_metadata(path)
