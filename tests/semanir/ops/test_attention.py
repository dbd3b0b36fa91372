"""Every backend agrees with the readable reference on the output and on every gradient."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from semanir.ops import key_semantic_attention, key_semantic_dictionary
from semanir.ops.attention import choose, dense

NAMES = ("out", "query", "key", "value", "scale", "bias")
CASES = {
    # windows, heads, tokens, head_dim, k
    "n64": (3, 2, 64, 16, 16),
    "n144_odd_dim": (2, 3, 144, 15, 40),
    "n33_not_word": (2, 1, 33, 7, 9),
    "k1": (2, 2, 20, 8, 1),
    "k_all": (2, 2, 20, 8, 20),
    "one_token": (3, 2, 1, 4, 1),
    "n256": (1, 2, 256, 30, 64),
}


def make_inputs(case: str, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    windows, heads, tokens, head_dim, k = CASES[case]
    generator = torch.Generator().manual_seed(len(case))
    # As in the layer: one projection, viewed with heads before tokens.
    qkv = torch.randn(windows, tokens, 3, heads, head_dim, generator=generator, dtype=dtype)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    scale = torch.rand(heads, generator=generator, dtype=dtype) * 30 + 5
    bias = torch.rand(heads, tokens, tokens, generator=generator, dtype=dtype) * 16
    regions = torch.arange(tokens)[None] // max(1, 2 * tokens // 3)  # the second region is smaller than some k
    dictionary = key_semantic_dictionary(
        torch.randn(windows, tokens, 6, generator=generator), k, regions if tokens > 30 else None
    )
    return [t.detach().requires_grad_() for t in (query, key, value, scale, bias)], dictionary


def run(backend: str, inputs: list[Tensor], dictionary: Tensor) -> list[Tensor]:
    query, key, value, scale, bias = inputs
    out = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, inputs, grad)]


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for name, a, b in zip(NAMES, found, expected, strict=True):
        error, norm = (a.double() - b.double()).norm(), b.double().norm()
        # With one key per row the softmax is constant: gradients of query, key, scale and bias are zero.
        if norm < 1e-6 * max(b.numel(), 1) ** 0.5:
            assert a.abs().max() <= 1e-6, name
        else:
            assert error / norm <= tolerance, f"{name}: relative error {error / norm:.2e}"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["gather", "dense", "auto"])
def test_output_and_gradients(backend: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dense._CHUNK_BYTES, "cpu", 4 * 2 * 64 * 64 * 2)  # several chunks, the last one short
    inputs, dictionary = make_inputs(case)
    assert_close(run(backend, inputs, dictionary), run("mask", inputs, dictionary), 1e-5)


@pytest.mark.parametrize("case", CASES)
def test_inference_equals_training(case: str) -> None:
    (query, key, value, scale, bias), dictionary = make_inputs(case)
    trained = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend="dense")
    with torch.no_grad():
        out = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend="dense")
    torch.testing.assert_close(out, trained.detach(), rtol=1e-5, atol=1e-5)


def test_reference_against_single_query() -> None:
    """The reference itself, against the formula written out for one query."""
    (query, key, value, scale, bias), dictionary = make_inputs("n33_not_word")
    out = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend="mask")
    row, window, head = 20, 1, 0
    kept = [j for j in range(33) if int(dictionary[window, row, j // 32]) >> (j % 32) & 1]
    q, keys = query[window, head, row], key[window, head, kept]
    logits = scale[head] * torch.cosine_similarity(q[None], keys) + bias[head, row, kept]
    torch.testing.assert_close(out[window, head, row], logits.softmax(0) @ value[window, head, kept])


@pytest.mark.parametrize("backend", ["mask", "gather", "dense"])
def test_dropped_keys_have_no_influence(backend: str) -> None:
    (query, key, value, scale, bias), _ = make_inputs("k_all")
    dictionary = torch.full((2, 20, 1), 0b111, dtype=torch.int32)
    poisoned = value.detach().clone()
    out = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)
    poisoned[:, :, 3:] = 1e6
    again = key_semantic_attention(query, key, poisoned, dictionary, scale=scale, bias=bias, backend=backend)
    torch.testing.assert_close(again, out)


@pytest.mark.parametrize("backend", ["gather", "dense"])
def test_bfloat16_is_no_worse_than_the_reference(backend: str) -> None:
    inputs, dictionary = make_inputs("n64")
    exact = run("mask", inputs, dictionary)
    low = [t.detach().bfloat16().requires_grad_() for t in inputs]
    for name, found, reference, truth in zip(
        NAMES, run(backend, low, dictionary), run("mask", low, dictionary), exact, strict=True
    ):
        assert found.dtype == torch.bfloat16
        error = (found.float() - truth).norm() / truth.norm()
        assert error <= 2 * (reference.float() - truth).norm() / truth.norm() + 1e-6, name


def test_operator_registration() -> None:
    query, key, value = torch.randn(3, 2, 2, 9, 4).unbind(0)
    dictionary, bias = torch.full((2, 9, 1), 0b10111, dtype=torch.int32), torch.randn(2, 9, 9)
    leaves = [t.clone().requires_grad_() for t in (query, key, value)]
    torch.library.opcheck(dense.masked_softmax_infer, (query, key, value, dictionary, bias))
    torch.library.opcheck(dense.masked_softmax_train, (*leaves, dictionary, bias.requires_grad_()))


def test_auto_says_its_choice_once(caplog: pytest.LogCaptureFixture) -> None:
    choose._said.clear()
    (query, key, value, scale, bias), dictionary = make_inputs("k1")
    with caplog.at_level(logging.INFO, logger="semanir"):
        for _ in range(3):
            key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias)
    assert [record.getMessage() for record in caplog.records] == [
        "attention backend auto: dense on cpu, 20 tokens a window"
    ]


def test_bad_input() -> None:
    (query, key, value, scale, bias), dictionary = make_inputs("k1")

    def attend(dictionary: Tensor = dictionary, scale: Tensor = scale, backend: str = "mask") -> Tensor:
        return key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)

    with pytest.raises(ValueError, match=r"unknown attention backend 'fast'; known: auto, mask"):
        attend(backend="fast")
    with pytest.raises(RuntimeError, match="'triton'"):
        attend(backend="triton")
    with pytest.raises(ValueError, match=r"dictionary must have shape \(2, 20, 1\), got \(2, 20, 2\)"):
        attend(dictionary=dictionary.repeat(1, 1, 2))
    with pytest.raises(ValueError, match=r"dictionary must hold int32 words, got torch.int64"):
        attend(dictionary=dictionary.long())
    with pytest.raises(ValueError, match="dictionary is on meta, but query is on cpu"):
        attend(dictionary=dictionary.to("meta"))
    with pytest.raises(ValueError, match=r"scale must have shape \(2,\), got \(1,\)"):
        attend(scale=scale[:1])
    with pytest.raises(ValueError, match="must share one shape"):
        key_semantic_attention(query, key[:, :, 1:], value, dictionary, scale=scale, bias=bias)
