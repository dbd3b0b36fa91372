"""The Triton kernels as a GPU runs them: parity in float32 and bf16, equal gradients at every run, the whole model."""

from __future__ import annotations

import pytest
import torch

import semanir
from semanir.ops.dictionary.naive import naive_dictionary
from tests.semanir.ops.attention_inputs import CASES, assert_close, assert_no_worse, make_inputs, run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(autouse=True)
def poisoned_memory_and_ieee_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    torch.empty(1 << 28, device="cuda").fill_(float("nan"))  # the allocator hands this memory out again


def on_gpu(case: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    inputs, dictionary = make_inputs(case)
    return [t.detach().cuda().requires_grad_() for t in inputs], dictionary.cuda()


@pytest.mark.parametrize("case", CASES)
def test_float32(case: str) -> None:
    inputs, dictionary = on_gpu(case)
    assert_close(run("triton", inputs, dictionary), run("mask", inputs, dictionary), 1e-5)


@pytest.mark.parametrize("case", ["n64", "n144_odd_dim", "n256"])
def test_bfloat16(case: str) -> None:
    inputs, dictionary = on_gpu(case)
    exact = run("mask", inputs, dictionary)
    low = [t.detach().bfloat16().requires_grad_() for t in inputs]
    assert_no_worse(run("triton", low, dictionary), run("mask", low, dictionary), exact)


def test_same_gradients_at_every_run() -> None:
    inputs, dictionary = on_gpu("n256")
    for a, b in zip(run("triton", inputs, dictionary), run("triton", inputs, dictionary), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("num_tokens", [1, 33, 64, 144, 256, 1000, 1024])
def test_dictionary(num_tokens: int) -> None:
    generator = torch.Generator("cuda").manual_seed(num_tokens)
    for levels in (1, 1000):  # whole numbers: products are exact, so ties are, too
        shape = (6, num_tokens, 4)
        windows = torch.randint(-levels, levels + 1, shape, generator=generator, device="cuda").float()
        labels = torch.randint(0, 3, (3, num_tokens), generator=generator, device="cuda", dtype=torch.int32)
        for regions in (None, labels):
            for k in {1, max(1, num_tokens // 4), num_tokens}:
                words = semanir.ops.key_semantic_dictionary(windows, k, regions)
                assert torch.equal(words, naive_dictionary(windows, k, regions)), (levels, k)


@pytest.mark.parametrize("compiled", [False, True])
def test_published_model_in_bfloat16(compiled: bool) -> None:
    x = torch.rand(1, 3, 64, 64, device="cuda")
    outputs = {}
    for backend in ("mask", "triton"):
        torch.manual_seed(0)
        model = semanir.create_model("columnar_small", depths=(2, 2), attention=backend).cuda()
        run_model = torch.compile(model, fullgraph=True) if compiled and backend == "triton" else model
        with torch.autocast("cuda", torch.bfloat16):
            outputs[backend] = run_model(x, 256)
        outputs[backend].float().square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    torch.testing.assert_close(outputs["triton"], outputs["mask"], rtol=0.05, atol=0.02)
