"""Videos restored from file to file: what is kept, what is refused, and going on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from av.stream import AttachmentStream

from pipeline.restoring.files import Job
from pipeline.restoring.restore_files import Outcome
from pipeline.restoring.restorer import Restorer
from pipeline.video.restore_videos import VideoSettings, restore_videos
from pipeline.video.workshop import SEGMENT_FRAMES
from tests.pipeline.video.clips import frames_of, levels_of, make_clip, packets, psnr

ROOT = Path(__file__).resolve().parents[3]


def restore(restorer: Restorer, source: Path, **settings) -> tuple[Outcome, Path]:
    target = source.parent / "restored" / source.name
    (outcome,) = restore_videos(restorer, [Job(source, target)], VideoSettings(**settings))
    return outcome, target


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "audio", "subtitles"),
    [
        ("clip.mp4", "libx264", "yuv420p", "aac", False),
        ("clip.mov", "libx264", "yuv422p10le", "pcm_s16le", False),
        ("clip.mp4", "libx265", "yuv420p10le", "aac", False),
        ("clip.mp4", "libsvtav1", "yuv420p10le", "aac", False),
        ("clip.mkv", "ffv1", "yuv420p", "libopus", True),
        ("clip.webm", "libvpx-vp9", "yuv420p", "libopus", False),
        ("clip.webm", "libvpx", "yuv420p", "libopus", False),
        ("clip.mkv", "mjpeg", "yuvj420p", "flac", False),
    ],
)  # fmt: skip
def test_all_but_the_pictures_is_kept_and_those_are_near(
    tmp_path, same, name, codec, pixel_format, audio, subtitles
) -> None:
    matrix = 5 if codec in ("libvpx", "mjpeg") else 1  # those know no other
    source = make_clip(tmp_path / name, 6, codec, pixel_format, (64, 64), audio, subtitles, matrix=matrix)
    outcome, target = restore(same, source)
    assert outcome.problem == ""
    assert [when for when, _ in frames_of(target)] == [when for when, _ in frames_of(source)]
    assert packets(target, "audio") == packets(source, "audio")
    if subtitles:
        assert packets(target, "subtitles") == packets(source, "subtitles")
    with av.open(str(source)) as before, av.open(str(target)) as after:
        old, new = before.streams.video[0], after.streams.video[0]
        assert new.codec_context.codec.canonical_name == old.codec_context.codec.canonical_name
        for kept in ("pix_fmt", "color_range", "colorspace", "color_primaries", "color_trc", "sample_aspect_ratio"):
            assert getattr(new, kept) == getattr(old, kept), kept
        assert new.metadata.get("language") == old.metadata.get("language")
        assert after.metadata["title"] == "A clip"
        assert next(after.decode(new)).rotation == 90
    assert psnr(source, target, "gray16le") > 46
    assert psnr(source, target, "rgb48le") > 38  # color is stored more coarsely, and was enlarged in between
    assert outcome.notes == ()
    assert list(target.parent.iterdir()) == [target]


def with_extras(source: Path, target: Path) -> Path:
    """The clip with two chapters, and with a font and a stream of data where the container holds them."""
    chapters = [
        {
            "id": n,
            "start": 50 * n,
            "end": 50 * n + 50,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": f"part {n}"},
        }
        for n in range(2)
    ]
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        new.set_chapters(chapters)
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        if target.suffix == ".mkv":
            new.add_attachment("letters.ttf", "application/x-truetype-font", b"a font")
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_chapters_and_fonts_are_carried(tmp_path, same, suffix) -> None:
    source = with_extras(make_clip(tmp_path / "plain.mp4"), tmp_path / f"clip{suffix}")
    outcome, target = restore(same, source)
    assert outcome.problem == ""
    assert not [note for note in outcome.notes if "chapters" in note]
    with av.open(str(target)) as made:
        assert [chapter["metadata"]["title"] for chapter in made.chapters()] == ["part 0", "part 1"]
        fonts = [(stream.name, stream.data) for stream in made.streams if isinstance(stream, AttachmentStream)]
    assert fonts == ([("letters.ttf", b"a font")] if suffix == ".mkv" else [])


def test_a_codec_that_is_not_written_becomes_another_and_that_is_said(tmp_path, same) -> None:
    outcome, target = restore(same, make_clip(tmp_path / "clip.mp4", 3, "mpeg4"))
    assert outcome.notes == ("its codec mpeg4 is written as h264",)
    assert len(frames_of(target)) == 3


def test_a_model_that_enlarges_makes_larger_frames(tmp_path) -> None:
    import semanir

    torch.manual_seed(0)
    enlarging = Restorer(semanir.save(semanir.create_model("columnar_tiny"), tmp_path / "model"))
    _, target = restore(enlarging, make_clip(tmp_path / "clip.mp4", 2))
    assert levels_of(target, "rgb48le").shape == (2, 64, 96, 3)


def cut(source: Path, share: float) -> Path:
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * share)])
    return source


def altered(source: Path) -> Path:
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(value ^ 0x55 for value in content[middle : middle + 400])
    source.write_bytes(content)
    return source


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


NOISY = {"crf": "1"}
REFUSED = {
    "empty": (lambda folder: written(folder / "clip.mp4", b""), "damaged, cut short, or no .mp4 file"),
    "text": (lambda folder: written(folder / "clip.mkv", b"no video at all\n" * 99), "damaged, cut short, or no .mkv"),
    "playlist": (
        lambda folder: written(folder / "clip.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n"),
        "damaged, cut short, or no .mp4 file",
    ),
    "no index": (lambda folder: cut(make_clip(folder / "clip.mp4"), 0.7), "damaged"),
    "cut mp4": (
        lambda folder: cut(make_clip(folder / "clip.mp4", mux={"movflags": "+faststart"}), 0.8),
        "cut short: its index names",
    ),
    "cut mkv": (lambda folder: cut(make_clip(folder / "clip.mkv", 40, options=NOISY), 0.5), "cut short: it says"),
    "altered": (lambda folder: altered(make_clip(folder / "clip.mp4", 12, options=NOISY, audio="")), "damaged"),
    "other kind": (lambda folder: written(folder / "clip.avi", b"RIFF"), ".avi videos are not restored"),
    "two": (lambda folder: make_clip(folder / "clip.mkv", streams=2), "2 streams of moving pictures"),
    "large": (lambda folder: make_clip(folder / "clip.mp4", 1, size=(128, 96)), "at most 10,000 are allowed"),
    "transparent": (
        lambda folder: make_clip(folder / "clip.mov", 1, "prores_ks", "yuva444p10le"),
        "transparent videos (yuva444p12le) are not supported",
    ),
    "interlaced": (
        lambda folder: make_clip(folder / "clip.mp4", 2, options={"x264-params": "tff=1"}),
        "frame 0 is interlaced",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_restored_is_refused_in_one_line(tmp_path, same, kind) -> None:
    make, said = REFUSED[kind]
    outcome, target = restore(same, make(tmp_path), max_pixels=10_000)
    assert said in outcome.problem
    assert "\n" not in outcome.problem
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_factor_that_the_encoder_has_not_is_refused(tmp_path, same) -> None:
    outcome, _ = restore(same, make_clip(tmp_path / "clip.mp4", 2), crf=52)
    assert outcome.problem == "--video-crf 52: h264 takes 0 to 51"
    outcome, _ = restore(same, make_clip(tmp_path / "clip.mkv", 2, "ffv1"), crf=10)
    assert outcome.problem == "--video-crf 10: ffv1 has no such number; leave it out"


def test_a_result_that_exists_is_left_alone_unless_told_otherwise(tmp_path, same) -> None:
    source = make_clip(tmp_path / "clip.mp4", 2)
    target = tmp_path / "restored" / "clip.mp4"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    outcome, _ = restore(same, source)
    assert outcome.was_there
    assert target.read_bytes() == b"mine"
    outcome, _ = restore(same, source, overwrite=True)
    assert outcome.problem == ""
    assert len(frames_of(target)) == 2


@pytest.mark.slow
def test_killed_and_continued_is_as_if_never_interrupted(tmp_path, models) -> None:
    source = make_clip(tmp_path / "clip.mp4", 3 * SEGMENT_FRAMES + 5, size=(32, 16))
    whole = tmp_path / "whole" / "clip.mp4"
    restorer = Restorer(models["other"])
    assert [outcome.problem for outcome in restore_videos(restorer, [Job(source, whole)], VideoSettings())] == [""]

    output = tmp_path / "restored"
    command = [sys.executable, "jobs/restore.py", str(source), "--model", str(models["other"]), "--output", str(output)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    first_done = output / ".clip.mp4.restoring" / "000000.json"
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        while not first_done.exists():
            assert process.poll() is None
            time.sleep(0.005)  # between two looks; what is awaited is the first segment
        process.send_signal(signal.SIGKILL)
    target = output / "clip.mp4"
    assert not target.exists()

    told = []
    jobs = [Job(source, target)]
    (outcome,) = restore_videos(restorer, jobs, VideoSettings(), lambda *numbers: told.append(numbers[1:]))
    assert outcome == Outcome(jobs[0])
    _, _, before = told[0]
    assert before >= SEGMENT_FRAMES
    assert told[-1] == (3 * SEGMENT_FRAMES + 5, 3 * SEGMENT_FRAMES + 5, before)
    assert frames_of(target) == frames_of(whole)
    assert packets(target, "audio") == packets(whole, "audio")
    assert [path.name for path in output.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("every", [1, 4])
def test_reused_dictionaries_change_no_frame_on_which_they_are_built(tmp_path, models, every) -> None:
    source = make_clip(tmp_path / "clip.mkv", 4, "ffv1")
    restorer = Restorer(models["other"])
    plain = tmp_path / "plain" / "clip.mkv"
    assert [outcome.problem for outcome in restore_videos(restorer, [Job(source, plain)], VideoSettings())] == [""]
    outcome, target = restore(restorer, source, reuse=every)
    assert outcome.problem == ""
    alike = [one == other for one, other in zip(frames_of(target), frames_of(plain), strict=True)]
    assert alike == [True] * 4 if every == 1 else [True, False, False, False]
    assert restorer.dictionaries is None
