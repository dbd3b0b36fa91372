"""Pack images as WebDataset shards with a manifest: ``semanir prepare`` as a script.

python jobs/prepare_data.py photos/ --split train --output s3://semanir/data/mine
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import prepare
from pipeline.commands.door import run_alone

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    return run_alone(prepare, arguments, ROOT)


if __name__ == "__main__":
    sys.exit(main())
