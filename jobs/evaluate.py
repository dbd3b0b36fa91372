"""Measure a model, or the classical baselines, on a packed test set: ``semanir evaluate`` as a job.

    ray job submit -- python jobs/evaluate.py models:/semanir-denoising-color@champion \\
        --images s3://bucket/sets/bsd68 --set sigma=25 --output s3://bucket/results/bsd68
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import evaluate
from pipeline.commands.door import run_alone

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    return run_alone(evaluate, arguments, ROOT)


if __name__ == "__main__":
    sys.exit(main())
