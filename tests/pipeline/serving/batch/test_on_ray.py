"""A folder restored by the workers of a real Ray cluster."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.commands.main import main
from pipeline.data.images import decode_image, to_float
from pipeline.data.whole import iter_whole_images
from pipeline.errors import UserError
from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import encode
from pipeline.serving.batch.on_ray import Request, restore_on_ray
from pipeline.serving.batch.outcomes import read_record
from pipeline.storage import open_storage
from pipeline.storage.lease import take
from tests.pipeline.serving.conftest import make_images
from tests.tree import ROOT

COUNT = 200


def restore(request: Request) -> tuple[int, str]:
    console = Console(file=StringIO(), width=200)
    failed = restore_on_ray(request, console)
    return failed, console.file.getvalue()  # type: ignore[attr-defined]


def test_two_hundred_images_then_a_second_run_that_does_only_what_is_left(cluster, tiny_model, tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    names = make_images(source, COUNT)
    (source / "notes.txt").write_text("not an image")
    (source / "z.png").write_bytes((source / names[0]).read_bytes()[:60])
    request = Request(source=str(source), output=str(output), model=str(tiny_model), k=3)

    failed, printed = restore(request)  # two workers
    assert failed == 1
    assert f"{COUNT} restored, 0 done before, 1 failed" in printed
    assert "unusable image" in printed
    assert f"left out of {source}: 1 .txt\n" in printed
    restored = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    assert [name for name in restored if not name.startswith("lease/")] == sorted([*names, "record.parquet"])
    restorer = Restorer(tiny_model, k=3, device="cpu")
    for name in names[:: COUNT // 8]:
        assert (output / name).read_bytes() == encode(restorer.restore(read_picture(source / name)))
    rows = {row.source: row for row in read_record(open_storage(str(output)))}
    assert sorted(rows) == sorted([*names, "z.png"])
    assert {row.outcome for name, row in rows.items() if name != "z.png"} == {"restored"}
    assert rows["z.png"].outcome == "failed"
    assert "damaged" in rows["z.png"].why
    for name in names[:5]:
        assert rows[name].digest == hashlib.sha256((source / name).read_bytes()).hexdigest()
        assert (rows[name].k, rows[name].model) == (3, str(tiny_model))
        assert rows[name].seconds > 0

    before = {name: (output / name).stat().st_mtime_ns for name in names}
    changed, removed = names[3], names[7]
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(source / changed)
    (output / removed).unlink()
    Image.fromarray(np.full((8, 8, 3), 9, dtype=np.uint8)).save(source / "z.png")
    failed, printed = restore(replace(request, workers=1))
    assert failed == 0
    assert f"3 restored, {COUNT - 2} done before, 0 failed" in printed
    after = {name: (output / name).stat().st_mtime_ns for name in names}
    assert {name for name in names if after[name] != before[name]} == {changed, removed}
    assert {row.outcome for row in read_record(open_storage(str(output)))} == {"restored"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "nowhere"}, "does not exist"),
        ({"output": "in/out"}, "lies in"),
        ({"output": "in"}, "lies in"),
        ({"output": "."}, "contains"),
        ({"k": 0}, "k is 0"),
        ({"model": "no-model"}, "does not exist"),
        ({"source": "empty"}, "holds no images"),
        ({"device": "cuda"}, "has no GPU"),
        ({"output": "taken"}, "the output 'taken' is being written by process"),
    ],
    ids=lambda value: str(value),
)
def test_bad_input_is_one_line(change, message, cluster, tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_images(Path("in"), 1)
    Path("empty").mkdir()
    held = take(open_storage("taken"), "the output")
    good = {"source": "in", "output": "out", "model": str(tiny_model)}
    with pytest.raises(UserError, match=message) as raised:
        restore(Request(**(good | change)))
    assert "\n" not in str(raised.value)
    held.release()


def test_a_cluster_that_is_gone_is_said_at_once_in_one_line(tiny_model, tmp_path):
    make_images(tmp_path / "in", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        words = [str(tiny_model), str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--on-ray"]
        done = subprocess.run(
            [sys.executable, "jobs/restore.py", *words],
            cwd=ROOT, env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: no Ray cluster at {address} (")


ASKED_WITH_ANOTHER = """
    import os, subprocess, sys

    import ray

    from pipeline.own_cluster import own_cluster

    with own_cluster(1):
        environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address, "RAY_AUTH_TOKEN": "b" * 40}
        sys.exit(subprocess.run(sys.argv[1:], env=environment).returncode)
"""


@pytest.mark.slow  # Ray itself asks for twenty seconds
def test_a_cluster_that_wants_another_token_says_so_in_one_line(tiny_model, tmp_path):
    make_images(tmp_path / "in", 1)
    words = [str(tiny_model), str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--on-ray"]
    done = subprocess.run(
        [sys.executable, "-c", dedent(ASKED_WITH_ANOTHER), sys.executable, "jobs/restore.py", *words],
        cwd=ROOT, env={**os.environ, "RAY_AUTH_TOKEN": "a" * 40, "RAY_AUTH_MODE": "token"},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the Ray cluster at ")
    assert "asks for its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in line


@pytest.mark.slow  # a run on Ray three times
def test_results_are_packed_as_a_data_set_once_all_are_restored(cluster, tiny_model, tmp_path, capsys):
    names = make_images(tmp_path / "in", 6)
    (tmp_path / "in" / "z.png").write_bytes((tmp_path / "in" / names[0]).read_bytes()[:60])
    words = [str(tiny_model), str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--on-ray"]
    words += ["--shards", str(tmp_path / "set")]
    assert main(["restore", *words]) == 1
    assert "nothing is packed, since not all were restored" in capsys.readouterr().out
    assert not (tmp_path / "set").exists()
    (tmp_path / "in" / "z.png").unlink()
    # What another left in the output, and what was restored of pictures that are gone since, is not of this run.
    (tmp_path / "out" / "other.png").write_bytes((tmp_path / "in" / names[0]).read_bytes())
    (tmp_path / "in" / names.pop()).unlink()
    assert main(["restore", *words]) == 0
    packed = {key: image.tobytes() for _, key, image, _ in iter_whole_images(str(tmp_path / "set"))}
    results = {name.rpartition(".")[0]: (tmp_path / "out" / name).read_bytes() for name in names}
    assert packed == {key: to_float(decode_image(content)).tobytes() for key, content in results.items()}
    assert main(["restore", *words]) == 0  # the same again
    changed = tmp_path / "in" / names[0]
    changed.write_bytes((tmp_path / "in" / names[4]).read_bytes())  # of the same format
    assert main(["restore", *words]) == 2
    assert "choose another --shards, remove that one, or give --overwrite" in capsys.readouterr().err
    damaged = tmp_path / "out" / names[1]
    damaged.write_bytes(b"x" * damaged.stat().st_size)  # of the same size: not seen until it is read
    words[words.index("--shards") + 1] += "2"
    assert main(["restore", *words]) == 2
    assert "remove these results, and run the same command again" in capsys.readouterr().err


def test_names_that_would_share_a_key_are_refused_before_anything_is_restored(cluster, tiny_model, tmp_path, capsys):
    (name, *_) = make_images(tmp_path / "in", 1)
    for other in ("a.jpg", "a.m/z.png", "a.png"):  # what lies between them in order keeps them no neighbors
        (tmp_path / "in" / other).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / other).write_bytes((tmp_path / "in" / name).read_bytes())
    words = [str(tiny_model), str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--on-ray"]
    assert main(["restore", *words, "--shards", str(tmp_path / "set")]) == 2
    assert "error: a.jpg and a.png would share the key 'a' in --shards; rename one of them" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lease"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shards", "set"], "--shards is for --on-ray"),
        (["--on-ray", "--shards", "out/set"], "--shards out/set and --output out overlap"),
        (["--on-ray", "--shards", "."], "--shards . and --output out overlap"),
        (["--workers", "7"], "--workers is for --on-ray: leave it out"),
        (["--force", "x"], "--force is for --on-ray: leave it out"),
        (["--on-ray", "--video-crf", "0"], "--video-crf is not for --on-ray: it restores no videos"),
        (["--on-ray", "--reuse-dictionary", "2"], "--reuse-dictionary is not for --on-ray"),
        (["--on-ray", "--strength", "0"], "--strength is not for --on-ray"),
        (["--on-ray", "--as-mosaic"], "--as-mosaic is not for --on-ray"),
        (["--video-crf", "0"], "--video-crf 0 is for videos, and no input is one"),
        (["--reuse-dictionary", "2"], "--reuse-dictionary 2 is for videos"),
    ],
)
def test_options_that_would_be_ignored_or_cannot_be_meant_are_refused_at_once(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "in", 1)
    assert main(["restore", "in", "--output", "out", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
