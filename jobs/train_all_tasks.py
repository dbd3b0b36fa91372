"""Train, evaluate and register a model for each restoration task: ``semanir train`` as a job.

ray job submit -- python jobs/train_all_tasks.py --tasks denoising_color sr_x2 --set training.steps=2000
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import train
from pipeline.commands.door import run_alone

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    return run_alone(train, arguments, ROOT)


if __name__ == "__main__":
    sys.exit(main())
