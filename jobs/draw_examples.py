"""Draw the README's pictures, before and after, and print their captions (for maintainers).

    python jobs/draw_examples.py

The pictures in pipeline/shipped/examples/ are committed, and the printed lines stand in README.md. Exit status: 0 done,
2 a model does not come with the package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "pipeline/shipped/examples"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=ROOT / FOLDER, help="folder for the pictures")
    options = parser.parse_args(arguments)
    # Heavy imports only now, so that --help answers at once.
    from pipeline.errors import UserError
    from pipeline.evaluation.examples import draw_all, table

    try:
        drawn = draw_all()
        options.output.mkdir(parents=True, exist_ok=True)
        for one in drawn:
            (options.output / one.file).write_bytes(one.picture)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(drawn, FOLDER))
    return 0


if __name__ == "__main__":
    sys.exit(main())
