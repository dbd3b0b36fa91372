"""``python -m tests.fuzz COUNT [SEED]``; see the package."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.kinds import all_cases
from tests.fuzz.run import SEED, run


def main(count: int, seed: int = SEED) -> None:
    """Print how many inputs of each kind were read and refused."""
    started = time.process_time()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        found = run(all_cases(Path(name)), count, Path(name), seed)
    for kind, (read, refused) in found.items():
        print(f"{kind:28} {read:7} read {refused:7} refused")  # noqa: T201
    print(f"{sum(read for read, _ in found.values())} inputs, {time.process_time() - started:.0f} s of processor time")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
