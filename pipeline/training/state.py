"""What a training run is, between two steps: everything a checkpoint must bring back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.training.spikes import SpikeState

STATE_BYTES = 1024  # what it is stored in is filled up to a multiple of this


@dataclass
class TrainingState:
    """The loop's own state; weights and optimizer are the engine's, and everything random is a function of these.

    ``position`` counts samples trained (not prefetched) in the endless sequence of pipeline.data.order.
    """

    data_digest: str  # of the sample order: another one would make ``position`` mean other samples
    step: int = 0
    position: int = 0
    best_psnr: float = -math.inf
    best_step: int = 0
    skipped_steps: int = 0
    skipped_samples: list[dict[str, str]] = field(default_factory=list)  # damaged: dataset, shard, key, kind
    spikes: SpikeState = field(default_factory=SpikeState)

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        # JSON has no infinity.
        return {**values, "best_psnr": self.best_psnr if math.isfinite(self.best_psnr) else None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingState:
        best = values["best_psnr"]
        # A checkpoint from before spikes were watched has no word of them.
        spikes = SpikeState.from_dict(values["spikes"]) if "spikes" in values else SpikeState()
        return cls(**{**values, "best_psnr": -math.inf if best is None else best, "spikes": spikes})
