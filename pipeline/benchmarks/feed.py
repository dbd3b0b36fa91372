"""How many CPU cores keep one GPU fed: arithmetic on stated figures."""

from __future__ import annotations

from dataclasses import dataclass

import semanir
from pipeline.benchmarks.rows import Row

OPERATIONS_PER_MAC = 2


@dataclass(frozen=True)
class Feed:
    """The demand of one GPU that trains a model at an assumed throughput.

    gmacs, gmacs_training: multiply-accumulates of a sample's forward pass, and of forward and backward, in 10⁹.
    samples_per_second: what it would consume.
    """

    model: str
    patch_size: int
    tflops: float
    gmacs: float
    gmacs_training: float
    samples_per_second: float

    def to_row(self, per_core: float) -> Row:
        """With the cores it takes at ``per_core`` samples per second."""
        cost = f"{self.gmacs:.1f} GMAC forward, {self.gmacs_training:.1f} with backward"
        return {
            "what": f"{self.model}, {self.patch_size}² patches, {cost}, at {self.tflops:.0f} TFLOP/s:"
            f" {self.samples_per_second:.0f} samples/s; cores at {per_core:.0f} each",
            "cores": self.samples_per_second / per_core,
        }


def feed(model: str, patch_size: int, tflops: float) -> Feed:
    """Demand of a GPU at ``tflops`` · 10¹² operations per second."""
    cost = semanir.describe(semanir.create_model(model), patch_size, patch_size)
    rate = tflops * 1e12 / (cost.macs_training * OPERATIONS_PER_MAC)
    return Feed(model, patch_size, tflops, cost.macs / 1e9, cost.macs_training / 1e9, rate)
