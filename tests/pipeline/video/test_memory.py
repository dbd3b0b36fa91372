"""A clip's length costs no memory: peaks of processes that decode, encode and join clips of two lengths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.video.clips import make_clip

ROOT = Path(__file__).resolve().parents[3]
_RESTORE = """
import resource, sys
from pathlib import Path
from pipeline.restoring.files import Job
from pipeline.restoring.restorer import Restorer
from pipeline.video import restore_videos as videos

Restorer.restore = lambda self, picture: picture  # the model sees a frame at a time anyway, and would take minutes
job = Job(Path(sys.argv[1]), Path(sys.argv[2]))
(outcome,) = videos.restore_videos(Restorer(Path(sys.argv[3])), [job], videos.VideoSettings())
assert outcome.problem == "", outcome
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_depend_on_the_length(tmp_path: Path, models: dict[str, Path]) -> None:
    peaks = []
    for frames in (96, 480):
        source = make_clip(tmp_path / f"{frames}.mp4", frames, size=(320, 192), options={"preset": "ultrafast"})
        command = [
            sys.executable,
            "-c",
            _RESTORE,
            str(source),
            str(tmp_path / "out" / source.name),
            str(models["same"]),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
        peaks.append(float(done.stdout))
    # 384 more frames have 34 MiB as they are stored, 135 MiB in RGB of 16 bits
    assert peaks[1] - peaks[0] < 12, peaks
