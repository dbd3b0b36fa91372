"""How many CPU cores keep one GPU fed: arithmetic on stated figures."""

from __future__ import annotations

from dataclasses import dataclass

import semanir
from pipeline.benchmarks.rows import Row

# A training step is one forward pass and about two of its size backward; a multiply-accumulate is two operations.
PASSES, OPERATIONS_PER_MAC = 3, 2


@dataclass(frozen=True)
class Feed:
    """The demand of one GPU that trains a model at an assumed throughput.

    gmacs: multiply-accumulates of a sample's forward pass, in 10⁹. samples_per_second: what it would consume.
    """

    model: str
    patch_size: int
    tflops: float
    gmacs: float
    samples_per_second: float

    def to_row(self, per_core: float) -> Row:
        """With the cores it takes at ``per_core`` samples per second."""
        return {
            "what": f"{self.model}, {self.patch_size}² patches, {self.gmacs:.1f} GMAC forward, x3 for training, at"
            f" {self.tflops:.0f} TFLOP/s: {self.samples_per_second:.0f} samples/s; cores at {per_core:.0f} each",
            "cores": self.samples_per_second / per_core,
        }


def feed(model: str, patch_size: int, tflops: float) -> Feed:
    """Demand of a GPU at ``tflops`` · 10¹² operations per second."""
    macs = semanir.describe(semanir.create_model(model), patch_size, patch_size).macs
    return Feed(model, patch_size, tflops, macs / 1e9, tflops * 1e12 / (macs * PASSES * OPERATIONS_PER_MAC))
