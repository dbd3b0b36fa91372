"""Put trained weights among the models that come with the package (for maintainers).

    python jobs/ship.py s3://semanir/runs/photo-…/step-…/best provenance.json

The result, pipeline/shipped/models/<task>/, is committed. Exit status: 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("weights", help="folder or s3:// address written by semanir.save (a checkpoint's best/)")
    parser.add_argument("provenance", type=Path, help="JSON with the fields of pipeline.shipped.provenance")
    options = parser.parse_args(arguments)
    # Heavy imports only now, so that --help answers at once.
    from pipeline.errors import UserError
    from pipeline.registry.ship import ship
    from pipeline.shipped.provenance import Provenance
    from pipeline.storage.fetch import fetch_folder

    try:
        provenance = Provenance.model_validate_json(options.provenance.read_text(encoding="utf-8"))
        with TemporaryDirectory() as scratch:
            print(ship(fetch_folder(options.weights, Path(scratch) / "weights"), provenance))
    except (UserError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
