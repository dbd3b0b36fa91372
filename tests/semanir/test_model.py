"""The networks: published sizes, any image size, k at call time, options that must not change the result."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import semanir
from semanir.stage import Stage

# Published: 11.87 / 12.05 / 12.02 M and 19.90 / 20.08 / 20.04 M at x2 / x3 / x4, and 25.82 M.
COUNTS = {
    ("columnar_small", (("upscale", 2),)): 11_869_991,
    ("columnar_small", (("upscale", 3),)): 12_054_631,
    ("columnar_small", (("upscale", 4),)): 12_017_703,
    ("columnar_base", (("upscale", 2),)): 19_895_783,
    ("columnar_base", (("upscale", 3),)): 20_080_423,
    ("columnar_base", (("upscale", 4),)): 20_043_495,
    ("ushape_base", ()): 25_823_667,
    ("ushape_base", (("in_channels", 1), ("out_channels", 1))): 25_821_505,
    ("ushape_tiny", ()): 65_851,
    ("columnar_tiny", ()): 63_599,
    ("ushape_light", ()): 253_419,
    ("columnar_light", ()): 309_925,
}


def tiny(name: str, **overrides: object) -> semanir.SemanIR:
    """A tiny model whose last convolution does not hide the body."""
    torch.manual_seed(0)
    return semanir.create_model(name, zero_init_last=False, **overrides).eval()


@pytest.mark.parametrize(("name", "overrides"), COUNTS)
def test_parameter_count(name: str, overrides: tuple[tuple[str, int], ...]) -> None:
    with torch.device("meta"):
        model = semanir.create_model(name, **dict(overrides))
    assert sum(parameter.numel() for parameter in model.parameters()) == COUNTS[name, overrides]


def test_published_sizes_use_the_papers_window() -> None:
    for name in ("columnar_small", "columnar_base", "ushape_base"):
        config = semanir.model_config(name)
        assert (config.window_size, config.k) == (32, 512)
    assert semanir.model_config("columnar_small", window_size=16).k == 128


@given(
    st.sampled_from(["ushape_tiny", "columnar_tiny"]),
    st.integers(1, 21),
    st.integers(1, 21),
    st.integers(1, 64),
)
@settings(max_examples=25, deadline=None)
def test_any_size(name: str, height: int, width: int, k: int) -> None:
    model = tiny(name)
    upscale = model.config.upscale
    with torch.no_grad():
        out = model(torch.rand(2, 3, height, width), k)
    assert out.shape == (2, 3, height * upscale, width * upscale)
    assert out.isfinite().all()


@pytest.mark.parametrize("name", ["ushape_tiny", "columnar_tiny"])
def test_untrained_tiny_model_is_its_baseline(name: str) -> None:
    model = semanir.create_model(name)
    x = torch.rand(1, 3, 12, 20)
    size = (12 * model.config.upscale, 20 * model.config.upscale)
    torch.testing.assert_close(model(x), semanir.imresize(x, *size))


def test_k_at_call_time() -> None:
    model, x = tiny("ushape_tiny"), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(x), model(x, k=model.config.k))
        assert not torch.equal(model(x, k=2), model(x, k=64))


def test_images_of_a_batch_are_independent() -> None:
    model, x = tiny("ushape_tiny"), torch.rand(3, 3, 20, 28)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    for name in ("ushape_tiny", "columnar_tiny"):
        model = tiny(name)
        model(torch.rand(1, 3, 24, 24)).square().mean().backward()
        for parameter_name, parameter in model.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.abs().sum() > 0, parameter_name


def gradients(model: semanir.SemanIR, x: torch.Tensor) -> list[torch.Tensor]:
    loss = model.train()(x).square().mean()
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("shift", ["both_grids", "per_stage"])
def test_checkpointing_changes_nothing_and_keeps_the_dictionaries(shift: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    original = Stage.build_dictionary

    def counted(self: Stage, *args: object) -> torch.Tensor:
        built.append(1)
        return original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Stage, "build_dictionary", counted)
    x = torch.rand(1, 3, 24, 24)
    plain = gradients(tiny("ushape_tiny", shift=shift), x)
    once = len(built)
    assert once == (6 if shift == "both_grids" else 3)
    recomputed = gradients(tiny("ushape_tiny", shift=shift, checkpoint_stages=True), x)
    assert len(built) == 2 * once
    for a, b in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(a, b)


def test_one_dictionary_when_no_axis_shifts(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    original = Stage.build_dictionary

    def counted(self: Stage, *args: object) -> torch.Tensor:
        words = original(self, *args)  # type: ignore[arg-type]
        shapes.append(tuple(words.shape))
        return words

    monkeypatch.setattr(Stage, "build_dictionary", counted)
    tiny("columnar_tiny")(torch.rand(1, 3, 8, 6))
    assert shapes == [(1, 48, 2), (1, 48, 2)]


@pytest.mark.parametrize("backend", ["mask", "gather", "dense"])
def test_backends_give_one_model(backend: str) -> None:
    x = torch.rand(1, 3, 20, 12)
    with torch.no_grad():
        torch.testing.assert_close(
            tiny("ushape_tiny", attention=backend)(x), tiny("ushape_tiny")(x), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(("name", "depths"), [("ushape_tiny", (2, 1, 1)), ("columnar_tiny", (2,))])
def test_everything_is_made_where_the_image_is(name: str, depths: tuple[int, ...]) -> None:
    """The meta device computes nothing, but refuses tensors of another: what a GPU would say, on any machine."""
    model = tiny(name, attention="mask", depths=depths).to("meta")
    image = torch.rand(1, 3, 20, 13, device="meta")  # padded, and cut by shifted windows
    tiled = semanir.restore_tiled(model, image[0], 24, 8)
    assert (tiled.device.type, tiled.shape[1]) == ("meta", 20 * model.config.upscale)


def test_bfloat16_autocast_trains() -> None:
    model, x = tiny("ushape_tiny").train(), torch.rand(1, 3, 16, 16)
    exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x)
        loss = out.float().square().mean()
    loss.backward()
    assert (out.float() - exact).abs().mean() < 0.05 * exact.std()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_whole_model_in_bfloat16() -> None:
    model = tiny("columnar_tiny").bfloat16()
    out = model(torch.rand(1, 3, 9, 9, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    out.float().mean().backward()


def test_nan_features_are_found_when_asked() -> None:
    x = torch.full((1, 3, 8, 8), float("nan"))
    tiny("ushape_tiny")(x)
    with pytest.raises(ValueError, match="NaN or infinite"):
        tiny("ushape_tiny", check_finite=True)(x)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="unknown model 'semanir'; known models: columnar_base, columnar_light"):
        semanir.create_model("semanir")
    model = tiny("ushape_tiny")
    for shape in ((3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8)):
        with pytest.raises(ValueError, match=r"input must have shape \(batch, 3, height, width\)"):
            model(torch.rand(shape))
    with pytest.raises(ValueError, match="float tensor"):
        model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    for k in (0, 65):
        with pytest.raises(ValueError, match=f"k is {k}, .* 8 x 8 tokens allows 1 to 64"):
            model(torch.rand(1, 3, 8, 8), k=k)
