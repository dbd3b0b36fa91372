"""Nothing of a whole model is timed before the very thing that is timed gave what the readable reference gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import semanir
from pipeline.benchmarks import gpu_models, model_parity
from pipeline.benchmarks.gpu_sizes import SMALL
from semanir.layer import TransformerLayer
from semanir.ops.attention import backends


def step(*, compiled: bool = False, backend: str = "dense") -> dict[str, object]:
    return gpu_models._step("ushape_tiny", 16, {"depths": (1, 1, 1)}, backend, compiled, SMALL, "cpu")  # type: ignore[dict-item]


def test_a_right_training_step_has_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(gpu_models, "_compile_layers", compiled.append)
    row = step(compiled=True)
    assert row["status"] == "ok"
    assert isinstance(row["ms"], float)
    assert len(compiled) == 1


def test_compiled_layers_that_give_zeros_get_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: semanir.SemanIR) -> None:
        for layer in model.modules():
            if isinstance(layer, TransformerLayer):
                monkeypatch.setattr(layer, "forward", lambda x, *_: x * 0)

    monkeypatch.setattr(gpu_models, "_compile_layers", spoil)
    row = step(compiled=True)
    assert str(row["status"]).startswith("wrong: output: error ")
    assert "ms" not in row


@pytest.mark.parametrize("spoiled", ["query", "key", "value", "scale", "bias"])
def test_a_backend_whose_gradient_alone_is_wrong_gets_no_figure(spoiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = backends.BACKENDS["dense"]

    def wrong(*tensors: Tensor) -> Tensor:
        query, key, value, dictionary, scale, bias = tensors
        named = {"query": query, "key": key, "value": value, "scale": scale, "bias": bias}
        named[spoiled] = 3 * named[spoiled] - 2 * named[spoiled].detach()  # the same number, thrice the gradient
        query, key, value, scale, bias = named.values()
        return right.attend(query, key, value, dictionary, scale, bias)

    monkeypatch.setitem(backends.BACKENDS, "dense", replace(right, attend=wrong))
    row = step()
    assert str(row["status"]).startswith("wrong: gradient of ")
    assert "ms" not in row


def test_restoring_is_compared_as_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right, sizes = semanir.restore_tiled, []

    def wrong(model: semanir.SemanIR, image: Tensor, *options: int) -> Tensor:
        sizes.append(tuple(image.shape[1:]))
        restored = right(model, image, *options)
        if model.config.attention != "mask":
            restored[..., -1, -1] += 1  # in the last tile alone
        return restored

    monkeypatch.setattr(semanir, "restore_tiled", wrong)
    (row,) = gpu_models.restoring_section(SMALL, "cpu").rows
    assert str(row["status"]).startswith("wrong: output: error ")
    assert "seconds" not in row
    assert set(sizes) == {(80, 80)}  # two by two tiles of 48 that share 16


def test_super_resolution_says_what_was_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    section = gpu_models.super_resolution_section(SMALL, "cpu")
    assert section.title == "Super-resolution x2 of one whole image, float32"
    assert section.columns["status"] == "parity, of 64 x 64 pixels"
    assert not section.wrong
    for name in ("compiled", "dense"):  # what auto may mean here
        right = backends.BACKENDS[name]
        wrong = replace(right, attend=lambda *x, attend=right.attend: 1.1 * attend(*x))
        monkeypatch.setitem(backends.BACKENDS, name, wrong)
    rows = {row["backend"]: row for row in gpu_models.super_resolution_section(SMALL, "cpu").rows}
    assert "seconds" in rows["mask"]
    assert str(rows["auto"]["status"]).startswith("wrong: output")
    assert "seconds" not in rows["auto"]


def test_no_memory_costs_a_row_and_not_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> str:
        raise torch.cuda.OutOfMemoryError("no memory")

    monkeypatch.setattr(gpu_models, "training_fault", exhausted)
    assert step()["status"] == "out of memory"


def test_a_model_may_differ_as_much_as_rounding_changes_its_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    model = semanir.create_model("ushape_tiny", attention="dense", zero_init_last=False).eval()
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def off(one: semanir.SemanIR) -> Tensor:
        return one(image) * (1.001 if one.config.attention == "dense" else 1)

    def moves(twin: semanir.SemanIR) -> semanir.SemanIR:
        twin.conv_last.weight.data *= 1.01
        return twin

    assert model_parity.output_fault(model, off, low=False).startswith("output: error 1.0e-03")
    monkeypatch.setattr(model_parity, "_rounded", moves)
    assert model_parity.output_fault(model, off, low=False) == ""


def test_rounding_moves_nearly_every_weight_by_a_bit_at_most() -> None:
    model = semanir.create_model("ushape_tiny")
    before = [weight.detach().clone() for weight in model.parameters()]
    after = list(model_parity._rounded(model).parameters())
    moved = torch.cat([(a != b).flatten() for a, b in zip(after, before, strict=True)])
    assert moved.float().mean() > 0.3
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a, b, rtol=2**-22, atol=0)
