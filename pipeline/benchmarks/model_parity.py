"""A whole model beside its readable twin: nothing of a model is timed before its output, or its training, agrees.

How far a model may be from its twin is measured: what the twin itself is changed by rounding. In low precision that is
its own run in it; in float32 its run with the last bits of its weights moved, for where two keys are almost equally
similar the last bit decides which one is attended to.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

import semanir
from pipeline.benchmarks.parity import MODEL_TOLERANCE, ROUNDING_FACTOR, errors

Run = Callable[[semanir.SemanIR], Tensor]
Named = dict[str, Tensor]
FEW = 256  # numbers of which chance has a say


def output_fault(model: semanir.SemanIR, run: Run, *, low: bool) -> str:
    """What is wrong with ``run(model)`` beside ``run`` of its twin; empty when nothing is. low: in bf16 autocast."""
    twin, kind = _twin(model).eval(), _device(model).type
    with torch.no_grad():
        exact = run(twin)
        with torch.autocast(kind, torch.bfloat16, enabled=low):
            found, reference = run(model), run(twin if low else _rounded(twin))
    return _verdict({"output": found}, {"output": exact}, {"output": reference})


def training_fault(model: semanir.SemanIR, x: Tensor, *, low: bool) -> str:
    """What is wrong with a training step's output and gradients; empty when nothing is. low: in bf16 autocast.

    ``model`` takes the batch ``x`` in training mode, as it will be timed, so whatever was compiled for it is what is
    checked. The twin takes image after image: all scores of a whole batch in float32 may be more than a card holds.
    """
    twin = _twin(model).train()
    size = (x.shape[0], model.config.out_channels, *(model.config.upscale * side for side in x.shape[2:]))
    grad = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(x.device)
    exact = _forward_backward(twin, x, grad, parts=len(x), low=False)
    reference = _forward_backward(twin if low else _rounded(twin), x, grad, parts=len(x), low=low)
    found = _forward_backward(model.train(), x, grad, parts=1, low=low)
    return _verdict(found, exact, reference)


def _twin(model: semanir.SemanIR) -> semanir.SemanIR:
    """The same weights through the readable ``mask``, nothing compiled."""
    twin = semanir.build_model(semanir.ModelConfig.from_dict({**model.config.to_dict(), "attention": "mask"}))
    twin.load_state_dict(model.state_dict())
    return twin.to(_device(model))


@torch.no_grad()
def _rounded(twin: semanir.SemanIR) -> semanir.SemanIR:
    """``twin`` itself, each weight moved at random by less than a unit in its last place."""
    generator = torch.Generator().manual_seed(0)
    for weight in twin.parameters():
        chance = 2 * torch.rand(weight.shape, generator=generator) - 1
        weight.mul_(1 + torch.finfo(torch.float32).eps * chance.to(weight.device))
    return twin


def _device(model: semanir.SemanIR) -> torch.device:
    return next(model.parameters()).device


def _forward_backward(model: semanir.SemanIR, x: Tensor, grad: Tensor, *, parts: int, low: bool) -> Named:
    """The output, and the gradients of each kind of parameter; none is left in the model."""
    model.zero_grad(set_to_none=True)
    outputs = []
    for images, wanted in zip(x.chunk(parts), grad.chunk(parts), strict=True):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
            out = model(images)
        out.float().backward(wanted)
        outputs.append(out.detach().float())
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }
    model.zero_grad(set_to_none=True)
    return {"output": torch.cat(outputs), **_grouped(gradients)}


def _grouped(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """One long vector for each kind of parameter, of all layers: one layer's alone may be next to zero by chance."""
    groups: dict[str, list[Tensor]] = defaultdict(list)
    for name, tensor in named.items():
        words = [word for word in re.sub(r"\d+", "", name).split(".") if word]
        # stages.0.layers.1.norm1.bias -> layers.norm.bias
        groups[f"gradient of {'.'.join(words[-3:])}"].append(tensor.flatten())
    return {name: torch.cat(tensors) for name, tensors in groups.items()}


def _verdict(found: Named, exact: Named, rounded: Named) -> str:
    """Empty when each error is within its limit, else the first that is not. rounded: the twin's own, with rounding.

    Rounding is chance. Where few numbers are summed up, the reference may be lucky, so there its error over all
    gradients counts where that is the larger.
    """
    allowed = errors(list(rounded.values()), list(exact.values()))
    typical = (sum(error * error for error in allowed) / len(allowed)) ** 0.5
    few = [tensor.numel() < FEW for tensor in exact.values()]
    allowed = [max(error, typical) if is_few else error for error, is_few in zip(allowed, few, strict=True)]
    for name, error, reference in zip(exact, errors(list(found.values()), list(exact.values())), allowed, strict=True):
        limit = MODEL_TOLERANCE + ROUNDING_FACTOR * reference
        if not error <= limit:
            return f"{name}: error {error:.1e}, limit {limit:.1e}"
    return ""
