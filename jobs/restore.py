"""Restore image files with a registered model or a weights folder: ``semanir restore`` as a script.

python jobs/restore.py models:/semanir-denoising-color@champion holiday/ "scans/*.tif" --output restored
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import restore
from pipeline.commands.door import run_alone

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    return run_alone(restore, arguments, ROOT)


if __name__ == "__main__":
    sys.exit(main())
