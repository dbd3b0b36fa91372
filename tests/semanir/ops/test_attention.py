"""Every backend agrees with the readable reference on the output and on every gradient."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from semanir.ops import key_semantic_attention, key_semantic_dictionary
from semanir.ops.attention import choose, compiled, dense
from semanir.ops.attention.backends import BACKENDS, Backend, able_backends
from semanir.ops.attention.call import AttentionCall
from semanir.ops.attention.triton import available
from semanir.ops.compiled.library import kernels
from tests.semanir.ops.attention_inputs import CASES, assert_close, assert_no_worse, make_inputs, run

CPU = torch.device("cpu")
# Every line of the table that a CPU can run: a new backend is tested by being there.
ON_CPU = able_backends(AttentionCall(CPU, torch.float32, 64, 16, needs_grad=True))
INFERRING_ON_CPU = able_backends(AttentionCall(CPU, torch.float32, 64, 16, needs_grad=False))


# Where a backend that no CPU runs is compared with `mask` instead.
ELSEWHERE = {"triton": ("test_triton_interpreted.py", "test_triton_gpu.py")}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_is_compared_somewhere(backend: str) -> None:
    folder = Path(__file__).parent
    if backend in INFERRING_ON_CPU:
        assert backend not in ELSEWHERE
    else:
        told = "no CPU runs it: compare its output and gradients with `mask` in a test of its own, named in ELSEWHERE"
        assert backend in ELSEWHERE, told
        assert all(backend in (folder / name).read_text(encoding="utf-8") for name in ELSEWHERE[backend]), told


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["auto", *(name for name in ON_CPU if name != "mask")])
def test_output_and_gradients(backend: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dense._CHUNK_BYTES, "cpu", 4 * 2 * 64 * 64 * 2)  # several chunks, the last one short
    inputs, dictionary = make_inputs(case)
    assert_close(run(backend, inputs, dictionary), run("mask", inputs, dictionary), 1e-5)


@pytest.mark.parametrize("backend", ["auto", *INFERRING_ON_CPU])
@torch.no_grad()
def test_all_is_made_where_the_inputs_lie(backend: str) -> None:
    """Whatever is made without naming a device would lie on another here, as it would on a GPU's machine."""
    (query, key, value, scale, bias), dictionary = make_inputs("n33_not_word")
    beside = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)
    with torch.device("meta"):
        out = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)
    assert torch.equal(out, beside)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", INFERRING_ON_CPU)
@torch.no_grad()
def test_inference_equals_training(backend: str, case: str) -> None:
    (query, key, value, scale, bias), dictionary = make_inputs(case)
    with torch.enable_grad():
        trained = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend="mask")
    out = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)
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


@pytest.mark.parametrize("backend", INFERRING_ON_CPU)
@torch.no_grad()
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
    found = run(backend, low, dictionary)
    assert all(t.dtype == torch.bfloat16 for t in found)
    assert_no_worse(found, run("mask", low, dictionary), exact)


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
        "attention backend auto: dense on cpu, float32, 20 tokens a window, training"
    ]


def test_auto_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_wide(call: AttentionCall) -> str | None:
        return "too wide" if call.head_dim > 64 else None

    monkeypatch.setitem(BACKENDS, "triton", Backend(BACKENDS["triton"].attend, too_wide, 16))
    cuda, bf16 = torch.device("cuda"), torch.bfloat16
    expected = {
        (bf16, 1024, 32, True): "triton",
        (torch.float16, 64, 32, False): "triton",
        (torch.float32, 1024, 32, True): "dense",
        (bf16, 36, 32, True): "dense",
        (bf16, 1024, 96, True): "dense",
    }
    assert {given: choose.choose_backend(AttentionCall(cuda, *given)) for given in expected} == expected


def test_auto_on_a_cpu_with_compiled_kernels() -> None:
    assert kernels() is not None, "the tests' installation has a C compiler"
    expected = {(1024, 16, False): "compiled", (64, 64, False): "compiled", (49, None, False): "compiled"}
    expected |= {(64, 16, True): "dense"}
    calls = {given: AttentionCall(CPU, torch.float32, given[0], 30, given[2], given[1]) for given in expected}
    assert {given: choose.choose_backend(call) for given, call in calls.items()} == expected
    assert choose.choose_backend(AttentionCall(CPU, torch.bfloat16, 64, 30, False, 16)) == "dense"


@pytest.fixture
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a C compiler."""
    monkeypatch.setattr(compiled, "kernels", lambda: None)


@pytest.mark.usefixtures("not_compiled")
def test_auto_on_a_cpu() -> None:
    expected = {
        (1024, 128, False): "sparse",
        (1024, 129, False): "dense",
        (256, 32, False): "sparse",
        (255, 8, False): "dense",
        (1024, 64, True): "dense",
        (1024, None, False): "dense",
    }
    calls = {given: AttentionCall(CPU, torch.float32, given[0], 30, given[2], given[1]) for given in expected}
    assert {given: choose.choose_backend(call) for given, call in calls.items()} == expected


@pytest.mark.usefixtures("not_compiled")
@torch.no_grad()
def test_few_keys_of_a_large_window_are_attended_to_sparsely(caplog: pytest.LogCaptureFixture) -> None:
    choose._said.clear()
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 256, 8).unbind(0)
    tensors = {"scale": torch.tensor([1.0, 3.0]), "bias": torch.randn(2, 256, 256)}
    dictionary = key_semantic_dictionary(torch.randn(2, 256, 16), 16)
    with caplog.at_level(logging.INFO, logger="semanir"):
        out = key_semantic_attention(query, key, value, dictionary, **tensors)
    assert "auto: sparse on cpu" in caplog.text
    expected = key_semantic_attention(query, key, value, dictionary, **tensors, backend="mask")
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_why_triton_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def why_not(device: str, dtype: torch.dtype, head_dim: int) -> str:
        return str(available.why_not_triton(AttentionCall(torch.device(device), dtype, 64, head_dim, True)))

    assert "not torch.float64" in why_not("cpu", torch.float64, 32)
    assert "at most 128 channels a head, got 160" in why_not("cpu", torch.float32, 160)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "this one has (7, 5)" in why_not("cuda", torch.bfloat16, 32)
    monkeypatch.setattr(available, "HAS_TRITON", False)
    assert "not installed" in why_not("cpu", torch.float32, 32)


def test_bad_input() -> None:
    (query, key, value, scale, bias), dictionary = make_inputs("k1")

    def attend(dictionary: Tensor = dictionary, scale: Tensor = scale, backend: str = "mask") -> Tensor:
        return key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)

    with pytest.raises(ValueError, match=r"unknown attention backend 'fast'; known: auto, mask"):
        attend(backend="fast")
    with pytest.raises(RuntimeError, match=r"'triton' cannot run: it needs a CUDA device, got cpu .*; use 'auto'"):
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
