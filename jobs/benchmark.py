"""Measure speed, memory and quality on this machine: ``semanir benchmark`` as a script.

python jobs/benchmark.py attention --output attention.jsonl
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import benchmark
from pipeline.commands.door import run_alone

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    return run_alone(benchmark, arguments, ROOT)


if __name__ == "__main__":
    sys.exit(main())
