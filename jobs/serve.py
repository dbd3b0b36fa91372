"""Serve models over HTTP, with a page to look at: ``semanir serve`` as a script.

python jobs/serve.py denoising_color deblurring --port 8080
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import serve
from pipeline.commands.door import run_alone

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    return run_alone(serve, arguments, ROOT)


if __name__ == "__main__":
    sys.exit(main())
