"""The Triton kernels on CPU tensors: run by test_triton_interpreted.py, in a process with TRITON_INTERPRET=1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

import semanir
from semanir.ops.attention.triton import launch, operator
from semanir.ops.attention.triton.kernels import tiles
from semanir.ops.dictionary import build, key_semantic_dictionary
from semanir.ops.dictionary.naive import naive_dictionary
from tests.semanir.ops.attention_inputs import CASES, assert_close, assert_no_worse, make_inputs, run

INTERPRETABLE = [case for case in CASES if case != "n256"]  # seconds each; nothing in it that n144 does not have


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Whatever a kernel leaves unwritten is NaN."""
    assert tiles.INTERPRETING
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    assert torch.ones(2).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case == "n144_odd_dim" else case for case in INTERPRETABLE]
)
def test_output_and_gradients(case: str) -> None:
    inputs, dictionary = make_inputs(case)
    assert_close(run("triton", inputs, dictionary), run("mask", inputs, dictionary), 1e-5)


@pytest.mark.slow
def test_bfloat16_is_no_worse_than_the_reference() -> None:
    inputs, dictionary = make_inputs("n64")
    exact = run("mask", inputs, dictionary)
    low = [t.detach().bfloat16().requires_grad_() for t in inputs]
    found = run("triton", low, dictionary)
    assert all(t.dtype == torch.bfloat16 for t in found)
    assert_no_worse(found, run("mask", low, dictionary), exact)


@pytest.mark.slow
def test_chunks_of_windows_with_a_short_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_BIAS_PROGRAMS", 3)
    assert launch.bias_chunks(windows=3, heads=2, tokens=64) == (2, 2)
    inputs, dictionary = make_inputs("n64")
    assert_close(run("triton", inputs, dictionary), run("mask", inputs, dictionary), 1e-5)


def test_other_memory_layouts_and_a_fixed_bias() -> None:
    (query, key, value, scale, bias), dictionary = make_inputs("k_all")
    query, value = query.detach().contiguous().requires_grad_(), value.detach().mT.contiguous().mT.requires_grad_()
    leaves = [query, key, value, scale]
    results = []
    for backend in ("triton", "mask"):
        out = semanir.ops.key_semantic_attention(
            query, key, value, dictionary, scale=scale, bias=bias.detach(), backend=backend
        )
        # A broadcast gradient has strides of zero.
        results.append([out.detach(), *torch.autograd.grad(out.sum(), leaves)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_same_gradients_at_every_run() -> None:
    inputs, dictionary = make_inputs("n33_not_word")
    for a, b in zip(run("triton", inputs, dictionary), run("triton", inputs, dictionary), strict=True):
        assert torch.equal(a, b)


def test_zero_tokens_have_finite_gradients() -> None:
    inputs, dictionary = make_inputs("k_all")
    for tensor in inputs[:3]:
        tensor.data[:, :, 5] = 0
    found, expected = run("triton", inputs, dictionary), run("mask", inputs, dictionary)
    # At a zero vector normalization multiplies its gradient by 1e12; compare there on that scale.
    for a, b in zip(found, expected, strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize(("num_tokens", "num_regions"), [(5, 0), (33, 3), (64, 2)])
def test_dictionary_with_ties_and_regions(num_tokens: int, num_regions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "has_kernel", lambda device, num_tokens: True)  # slow here: for these tests alone
    generator = torch.Generator().manual_seed(num_tokens)
    windows = torch.randint(-2, 3, (2, num_tokens, 3), generator=generator).float()  # many ties, zeros of both signs
    regions = torch.randint(0, num_regions, (2, num_tokens), generator=generator).int() if num_regions else None
    for k in (1, num_tokens // 3, num_tokens + 3):
        found = key_semantic_dictionary(windows, k, regions)
        assert torch.equal(found, naive_dictionary(windows, k, regions)), k


def test_chunks_of_a_dictionary_keep_their_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows a chunk of a period of three: a chunk begins in the middle of an image."""
    monkeypatch.setattr(build, "has_kernel", lambda device, num_tokens: True)
    monkeypatch.setattr(build, "_CHUNK_BYTES", {"cpu": 2 * 4 * 16 * 16})
    windows = torch.randn(6, 16, 3, generator=torch.Generator().manual_seed(0))
    regions = torch.arange(48).view(3, 16).remainder(5).int()
    assert torch.equal(key_semantic_dictionary(windows, 4, regions), naive_dictionary(windows, 4, regions))


def test_operator_registration() -> None:
    (query, key, value, scale, bias), dictionary = make_inputs("k1")
    torch.use_deterministic_algorithms(False)  # opcheck compares outputs of which some are never written
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operator.tiled_attention, (query, key, value, dictionary, scale, bias), test_utils=checks)


def test_model_with_padded_heads() -> None:
    """Head dimension 12 is computed as 16; the padding must not show in the result or in any gradient."""
    torch.manual_seed(0)
    config = semanir.model_config("columnar_tiny", depths=(2,), num_heads=2, zero_init_last=False)
    model = semanir.build_model(replace(config, attention="triton"))
    twin = semanir.build_model(replace(config, attention="mask"))
    twin.load_state_dict(model.state_dict())
    x = torch.rand(1, 3, 11, 8)
    for a, b in zip(*(_gradients(m, x) for m in (model, twin)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def _gradients(model: semanir.SemanIR, x: torch.Tensor) -> list[torch.Tensor]:
    out = model(x)
    return [out.detach(), *torch.autograd.grad(out.square().mean(), list(model.parameters()))]
