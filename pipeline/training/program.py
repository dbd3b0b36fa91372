"""``python -m pipeline.training.program``: the bytes that a worker's process holds beside its tensors.

Python, torch, DeepSpeed and Ray, and what they load when they are first used: so a model of a few hundred weights takes
a step. Printed is the most that was resident.
"""

from __future__ import annotations

import resource
import sys
from tempfile import TemporaryDirectory

import torch

import pipeline.training.ray_train  # noqa: F401  what a worker imports
import semanir
from pipeline.config import TrainingSettings
from pipeline.data.batches import Phase
from pipeline.training.context import PlainContext
from pipeline.training.engine import Engine
from pipeline.training.losses import get_loss


def main() -> None:
    """Take two steps, and say what they took."""
    torch.set_num_threads(1)
    settings = TrainingSettings(steps=1, global_batch_size=1, num_workers=1)
    model = semanir.create_model("columnar_tiny", depths=(1, 1), embed_dim=12, window_size=4, k=4, upscale=2)
    with TemporaryDirectory() as folder:
        engine = Engine(model, settings, [Phase(global_batch_size=1, micro_batch_size=1)], PlainContext(folder))
        for _ in range(2):
            engine.step([(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 16))], get_loss("l1"), 1e-4, None)
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}\n")  # Linux counts KiB


if __name__ == "__main__":
    main()
