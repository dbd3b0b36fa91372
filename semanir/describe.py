"""Size and cost of a model on one image: parameters, multiply-accumulates and dictionary bytes, k counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from semanir.config import check_k
from semanir.layer import KeySemanticAttention
from semanir.model import build_model
from semanir.network import SemanIR
from semanir.stage import Stage


@dataclass(frozen=True)
class ModelDescription:
    """Cost of one image. ``macs`` is the total; attention counts the k kept keys per token."""

    parameters: int
    macs: int
    macs_convolution: int
    macs_linear: int
    macs_attention: int
    macs_dictionary: int
    dictionary_bytes: int

    @property
    def macs_training(self) -> int:
        """Of one image in a training step: forward, and backward, which computes two products for each of forward's.

        (Kaplan et al. 2020, section 2.1.) Dictionaries are built from detached tokens: they have a forward pass alone.
        What is computed again (``checkpoint_stages``) is not counted.
        """
        return 3 * (self.macs - self.macs_dictionary) + self.macs_dictionary


def describe(model: SemanIR, height: int, width: int, k: int | None = None) -> ModelDescription:
    """Count for one input image of height x width pixels, without computing anything (on the meta device).

    Multiply-accumulates of convolutions, linear layers (position-bias networks included), similarities of the
    dictionaries (N per token) and attention over min(k, N) keys per token; norms and activations are not
    counted. Padding is counted as computed. Raises ValueError for k outside 1..window_size**2 and for a size that is no
    whole number of 1 or more.
    """
    for name, side in (("height", height), ("width", width)):
        if isinstance(side, bool) or not isinstance(side, Integral) or side < 1:
            raise ValueError(f"{name} must be a whole number of pixels, 1 or more, got {side!r:.40}")
    k = model.config.k if k is None else k
    check_k(k, model.config.window_size)
    with torch.device("meta"):
        twin = build_model(replace(model.config, attention="mask"))  # kernels do not run on the meta device
        image = torch.empty(1, model.config.in_channels, height, width)
    counter = _Counter(k)
    for module in twin.modules():
        counter.watch(module)
    with torch.no_grad():
        twin(image, k)
    total = counter.convolution + counter.linear + counter.attention + counter.dictionary
    return ModelDescription(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=total,
        macs_convolution=counter.convolution,
        macs_linear=counter.linear,
        macs_attention=counter.attention,
        macs_dictionary=counter.dictionary,
        dictionary_bytes=counter.dictionary_bytes,
    )


class _Counter:
    """Forward hooks that add up what each module would compute, from the shapes it sees."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.convolution = self.linear = self.attention = self.dictionary = self.dictionary_bytes = 0

    def watch(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(self.count_convolution)
        elif isinstance(module, nn.Linear):
            module.register_forward_hook(self.count_linear)
        elif isinstance(module, KeySemanticAttention):
            module.register_forward_hook(self.count_attention)
        elif isinstance(module, Stage):
            self.watch_dictionaries(module)

    def count_convolution(self, module: nn.Conv2d, _: Any, out: Tensor) -> None:
        self.convolution += out.numel() * module.weight[0].numel()

    def count_linear(self, module: nn.Linear, _: Any, out: Tensor) -> None:
        self.linear += out.numel() * module.in_features

    def count_attention(self, module: KeySemanticAttention, inputs: tuple[Tensor, ...], _: Any) -> None:
        windows = inputs[0]
        self.attention += 2 * windows.numel() * min(self.k, windows.shape[1])

    def watch_dictionaries(self, stage: Stage) -> None:
        build = stage.build_dictionary

        def counted(tokens: Tensor, grid: Any, k: int) -> Tensor:
            words = build(tokens, grid, k)
            self.dictionary += tokens.numel() * grid.num_tokens
            self.dictionary_bytes += words.numel() * words.element_size()
            return words

        stage.build_dictionary = counted  # type: ignore[method-assign]
