"""By whose rules images are measured: the single-task benchmarks' or the all-in-one papers'.

Figures of two protocols are not comparable, so an evaluation has one and its table shows published rows of that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pipeline.config import deep_merge
from pipeline.degradations.image import Image
from pipeline.errors import UserError
from pipeline.metrics.convention import MetricConvention
from pipeline.settings import Settings
from pipeline.tasks import Task

BENCHMARK = "benchmark"
ALL_IN_ONE = "all_in_one"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """multiple: images are cut about their middle to multiples of this side. rounded: figures of 8-bit values.

    demands: settings, wherever a task has one of that name, at any depth. rgb_only: whether tasks of gray images and of
    small inputs are outside it.
    """

    name: str
    multiple: int = 1
    rounded: bool = True
    demands: Mapping[str, Any] = field(default_factory=dict)
    rgb_only: bool = False

    def convention(self, task: Task) -> MetricConvention:
        """On which channel, border and values the task's figures are measured."""
        if self.rgb_only:
            return MetricConvention(channel="rgb", rounded=self.rounded)
        return replace(task.convention, rounded=self.rounded)

    def crop(self, image: Image) -> Image:
        """The middle of (H, W, C), its sides cut to the protocol's multiple; an odd remainder loses more at the end.

        Raises UserError for an image that is smaller than that.
        """
        height, width = image.shape[:2]
        if min(height, width) < self.multiple:
            raise UserError(
                f"image of {height}x{width} is too small for the protocol {self.name}: it needs at least "
                f"{self.multiple}x{self.multiple} pixels"
            )
        down, across = height % self.multiple, width % self.multiple
        top, left = down // 2, across // 2
        return image[top : top + height - down, left : left + width - across]

    def complete(self, task: Task, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The setting with what the protocol demands of the task.

        Raises UserError for a task outside the protocol, and for a setting that contradicts it.
        """
        if self.rgb_only and (task.input_channels, task.channels, task.upscale) != (3, 3, 1):
            raise UserError(f"the protocol {self.name} measures color images at their own size; {task.name} has others")
        demanded = _wherever(task.settings, self.demands)
        whole = deep_merge(demanded, setting)
        if deep_merge(whole, demanded) != whole:
            wanted = ", ".join(f"{name}={value}" for name, value in self.demands.items())
            raise UserError(f"the protocol {self.name} measures with {wanted}; leave that setting out")
        return whole


def _wherever(kind: type[Settings], demands: Mapping[str, Any]) -> dict[str, Any]:
    """``demands`` for each settings class inside ``kind`` that has such fields."""
    found = {name: value for name, value in demands.items() if name in kind.model_fields}
    for name, declared in kind.model_fields.items():
        inner = declared.annotation
        if isinstance(inner, type) and issubclass(inner, Settings) and (deeper := _wherever(inner, demands)):
            found[name] = deeper
    return found


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(name=BENCHMARK),
            # PromptIR (Potlapalli et al., NeurIPS 2023) and those after it: noise saved in 8 bits, images cut to
            # multiples of 16 about their middle, RGB values in float, clipped to [0, 1] and not rounded.
            Protocol(
                name=ALL_IN_ONE,
                multiple=16,
                rounded=False,
                demands={"saved_as": "truncated_uint8"},
                rgb_only=True,
            ),
        )
    }
)
"""By name; the first is the default."""
