from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.prepare_data import main
from pipeline.data.manifest import load_manifest

JOB = Path(__file__).parents[4] / "jobs" / "prepare_data.py"


def test_the_built_in_photographs_become_three_datasets(tmp_path):
    command = [sys.executable, JOB, "--builtin", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [load_manifest(f"{tmp_path}/{split}").num_samples for split in ("train", "val", "test")] == [
        5,
        1,
        3,
    ]
    assert "CC BY 2.0" in done.stdout
    assert done.stderr == ""


def test_a_folder_becomes_a_split_and_skipped_images_are_told(images, tmp_path, capsys):
    folder = images(4)
    (folder / "img001.png").write_bytes(b"broken")
    arguments = [
        str(folder),
        "--split",
        "val",
        "--output",
        str(tmp_path / "out"),
        "--max-skipped-share",
        "0.5",
    ]
    assert main(arguments) == 0
    assert load_manifest(f"{tmp_path}/out/val").num_samples == 3
    assert f"skipped {folder}/img001.png: damaged or not an image" in capsys.readouterr().out


def may_mount() -> bool:
    """Whether this user may, which root in a container may not."""
    return shutil.which("unshare") is not None and not subprocess.run(["unshare", "--mount", "true"]).returncode


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs the right to mount a file system")
def test_a_complete_data_set_on_a_read_only_mount_is_packed(images, tmp_path):
    folder, mount = images(4), tmp_path / "mount"
    arguments = [str(folder), "--output", str(mount)]
    assert main(arguments) == 0
    code = (
        "import subprocess, sys; from jobs.prepare_data import main;"
        "subprocess.run(['mount', '--bind', sys.argv[1], sys.argv[1]], check=True);"
        "subprocess.run(['mount', '-o', 'remount,bind,ro', sys.argv[1]], check=True);"
        "sys.exit(main(sys.argv[2:]))"
    )
    alone = ["unshare", "--mount", sys.executable, "-c", code, str(mount)]  # the mount is gone with the process
    again = subprocess.run([*alone, *arguments], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert "4 samples in 1 shard" in again.stdout
    other = subprocess.run([*alone, *arguments, "--sub-image", "8"], capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "cannot be written: the file system of" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}", "--output", "{tmp}/out"], "holds no images"),
        (["{tmp}/no", "--output", "{tmp}/out"], "does not exist"),
        (["--builtin", "--output", "gs://x"], "scheme 'gs' is not known"),
        (["--builtin", "--output", "{tmp}", "--max-skipped-share", "2"], "2 is above 1, the most"),
        (["{tmp}", "--split", "../x", "--output", "{tmp}/out"], "--split '../x' is no name of a folder"),
        (["{tmp}", "--split", "", "--output", "{tmp}/out"], "argument --split: an empty value"),
        (["{tmp}", "--split", "..", "--output", "{tmp}/out"], "--split '..' is no name of a folder"),
        (["{tmp}", "--split", "a\nb", "--output", "{tmp}/out"], r"--split 'a\nb' is no name of a folder"),
        (["{tmp}", "--sub-image", "480", "--codec", "original", "--output", "{tmp}/out"], "give --codec png or webp"),
        (["s3:///photos", "--output", "{tmp}/out"], "image folder 's3:///photos' names no bucket"),
        (["{tmp}", "--degraded", "s3://", "--output", "{tmp}/out"], "--degraded 's3://' names no bucket"),
        (["{tmp}", "--output", "s3://"], "--output 's3://' names no bucket"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, arguments, message):
    assert main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said


def test_a_known_dataset_becomes_its_splits(images, tmp_path, capsys):
    root = images(4).rename(tmp_path / "kodak")
    for number, path in enumerate(sorted(root.iterdir()), start=1):
        path.rename(root / f"kodim{number:02d}.png")
    output = str(tmp_path / "out")
    assert main(["--dataset", "kodak", str(root), "--output", output]) == 2
    assert "has 4 samples, expected 24" in capsys.readouterr().err
    assert main(["--dataset", "kodak", str(root), "--output", output, "--incomplete"]) == 0
    assert load_manifest(f"{output}/test").num_samples == 4
    assert "4 images: Kodak lossless true color image suite" in capsys.readouterr().out


def test_the_known_datasets_are_listed_with_their_terms(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--list-datasets"])
    said = capsys.readouterr().out
    assert "gopro: GoPro (GOPRO_Large)" in said
    assert said.count("license: ") == 24
