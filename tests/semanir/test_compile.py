"""torch.compile takes the whole model as one graph, and a changing k compiles at most once more."""

from __future__ import annotations

import pytest
import torch

import semanir


def test_one_graph_for_every_k() -> None:
    torch._dynamo.reset()
    compiles = 0

    def count(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        nonlocal compiles
        compiles += 1
        return graph

    torch.manual_seed(0)
    model = semanir.create_model("ushape_tiny", depths=(2, 1, 1), zero_init_last=False)
    compiled = torch.compile(model, backend=count, fullgraph=True)
    x = torch.rand(1, 3, 20, 12)
    for k in (16, 8, 64, 48, 3):
        torch.testing.assert_close(compiled(x, k), model(x, k))
    assert compiles <= 2


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_stages", [False, True])
def test_gradients(checkpoint_stages: bool) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = semanir.create_model(
        "columnar_tiny", depths=(1,), zero_init_last=False, checkpoint_stages=checkpoint_stages
    )
    x, parameters = torch.rand(1, 3, 12, 9), list(model.parameters())
    expected = torch.autograd.grad(model(x).square().mean(), parameters)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for a, b in zip(torch.autograd.grad(compiled(x).square().mean(), parameters), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
