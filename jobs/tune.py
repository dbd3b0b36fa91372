"""Search configurations, every trial a real training run: ``semanir tune`` as a job.

ray job submit -- python jobs/tune.py jobs/configs/sweeps/k_and_depths.yaml --output runs/k_and_depths
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import tune
from pipeline.commands.door import run_alone

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    return run_alone(tune, arguments, ROOT)


if __name__ == "__main__":
    sys.exit(main())
