"""A photograph of 24 megapixels on a CPU, within a stated memory bound."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semanir

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 4000, 6000
# As the README states it; 1784 were measured. While it is restored, the image is float32 (288 MB) and its weighted sum
# float64 (576 MB).
MOST_MIB = 2500


@pytest.mark.slow
def test_24_megapixels_stay_within_the_stated_memory(tmp_path: Path) -> None:
    # Untrained, so the identity. One layer a stage halves the time; the peak is the image's, not the model's.
    semanir.save(semanir.create_model("ushape_tiny", depths=(1, 1, 1)), tmp_path / "model")
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint16)
    levels = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "large.png", compress_level=1)
    script = """
        import resource, sys
        from jobs.restore import main
        status = main(sys.argv[1:])
        print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        sys.exit(status)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "model"), str(tmp_path / "large.png"),
         "--output", str(tmp_path / "out"), "--device", "cpu"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    peak = int(done.stdout.split("peak ")[1])
    print(f"peak memory {peak} MiB for {HEIGHT}x{WIDTH}")  # noqa: T201 - the measurement, shown by pytest -s
    assert peak < MOST_MIB
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "large.png")), levels)
