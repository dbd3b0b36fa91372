"""What a person sees while a video is restored."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from pipeline.restoring.files import Job
from pipeline.restoring.restore_files import Outcome
from pipeline.video.frame_progress import VideoReport

CLIP = Path("clip.mp4")


def test_frames_pace_and_time_left_are_said_now_and_then() -> None:
    screen, now = StringIO(), [0.0]
    report = VideoReport(Console(file=screen, width=200), lambda: now[0])
    for done in range(49, 74):  # half a second a frame, behind 48 that were done
        report.progress(CLIP, done, 120, 48)
        now[0] += 0.5
    job = Job(CLIP, Path("restored/clip.mp4"))
    assert report.show([Outcome(job, notes=("a note",)), Outcome(job, "damaged"), Outcome(job, was_there=True)]) == 1
    assert screen.getvalue().splitlines() == [
        "clip.mp4: goes on behind 48 frames that are done",
        "clip.mp4: 69 of 120 frames, 2.00 frames/s, 26 s left",
        "clip.mp4 -> restored/clip.mp4",
        "  clip.mp4: a note",
        "skipped clip.mp4: damaged",
        "restored/clip.mp4 exists; give --overwrite to replace it",
        "1 video restored, 1 were there already, 1 skipped",
    ]


def test_a_terminal_shows_a_bar() -> None:
    screen = StringIO()
    report = VideoReport(Console(file=screen, force_terminal=True, width=100))

    def outcomes():
        report.progress(CLIP, 1, 9, 0)
        report._bars.refresh()
        yield Outcome(Job(CLIP, CLIP))

    report.show(outcomes())
    assert "1/9" in screen.getvalue()
