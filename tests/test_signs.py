"""What the README files tell a person to type, and where CONTRIBUTING.md points, is true."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import semanir
from pipeline.commands import benchmark, door, evaluate, prepare, restore, serve, train, tune
from pipeline.commands.main import build_parser
from pipeline.config import read_config, resolve
from pipeline.errors import UserError
from pipeline.runs.preflight import check_config
from pipeline.tasks import resolve_tasks
from tests.conftest import Stack
from tests.tree import ROOT, files

PAGES = [*files(".md")]
JOBS: dict[str, door.Command] = {
    "restore": restore,
    "prepare_data": prepare,
    "evaluate": evaluate,
    "train_all_tasks": train,
    "tune": tune,
    "benchmark": benchmark,
    "serve": serve,
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[str]:
    """The command blocks of a page: fenced, without a language or with a shell's."""
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh", "bash", "console"):
            yield text


def commands(page: Path) -> list[list[str]]:
    """Each of our own commands on a page as its words: from ``jobs/….py`` or ``semanir`` on."""
    found = []
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            plain = re.split(r"(?:^|\s)#", line)[0].replace("…", "")
            if not re.search(r"(?<![\w/-])python jobs/\w+\.py|^\s*semanir [a-z]", plain):
                continue
            words = shlex.split(plain)
            start = next(n for n, word in enumerate(words) if word.startswith("jobs/") or word == "semanir")
            found.append(words[start:])
    return found


COMMANDS = [(page, words) for page in PAGES for words in commands(page)]


def parsed(words: list[str]) -> argparse.Namespace:
    """What the command's own parser makes of it; it ends the test on what the parser refuses."""
    if words[0] == "semanir":
        return build_parser().parse_args(words[1:])
    parser = argparse.ArgumentParser()
    door.fill(parser, JOBS[Path(words[0]).stem])
    return parser.parse_args(words[1:])


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 12
    assert {page.parent.name for page, _ in COMMANDS} >= {ROOT.name, "data", "evaluation", "semanir"}


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: value.name if isinstance(value, Path) else "")
def test_a_command_of_a_page_is_understood(page: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    try:
        options = parsed(words)
    except SystemExit as stop:
        if stop.code:
            pytest.fail(f"{page}: {shlex.join(words)}")
        return
    if getattr(options, "command_module", None) is train and options.config != "my.yaml":
        document = read_config(door.configuration(options.config, ROOT))
        for task in resolve_tasks(options.tasks):
            check_config(resolve(document, task.name, options.overrides))


def test_a_command_that_would_end_in_an_error_is_seen() -> None:
    """As the README had it once: super-resolution by a U-shaped model."""
    options = parsed(["jobs/train_all_tasks.py", "--tasks", "sr_x4", "--set", "model.name=ushape_base"])
    config = resolve(read_config(door.configuration(None, ROOT)), "sr_x4", options.overrides)
    with pytest.raises(UserError, match="a ushape model keeps the image size"):
        check_config(config)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_file_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:semanir|pipeline|jobs|tests|infra)/[\w./-]*)`", text))
    assert len(named) > 25
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_british_spelling_and_typos_are_seen(tmp_path: Path) -> None:
    """By the command of `make check`, in prose and in the words of names, strings and settings."""
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    checking = re.search(r"^\t@\$\(BIN\)/(codespell .*)$", recipes, re.MULTILINE)
    assert checking is not None
    made = {
        "made.py": 'nearest_neighbour = colourOf("grey")\n',  # codespell:ignore
        "made.yaml": "initialise: false\n",  # codespell:ignore
        "made.md": "Recieve it afterwards.\n",  # codespell:ignore
    }
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    settings = ["--toml", str(ROOT / "pyproject.toml"), "--quiet-level", "2", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *shlex.split(checking[1])[1:], *settings],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {(Path(line.split(":")[0]).name, line.split()[1]) for line in done.stdout.splitlines()}
    assert found == {
        ("made.py", "neighbour"), ("made.py", "colour"), ("made.py", "grey"),  # codespell:ignore
        ("made.yaml", "initialise"), ("made.md", "Recieve"), ("made.md", "afterwards"),  # codespell:ignore
    }  # fmt: skip


def test_version_changelog_and_citation_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == semanir.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == semanir.__version__


def test_every_image_that_is_deployed_is_of_this_version() -> None:
    """Manifests cannot read the version where it stands, so they repeat it."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "infra").rglob("*")):
        if path.suffix in (".yaml", ".yml", ".md", ".sh", ".py", ".json"):
            text = path.read_text(encoding="utf-8")
            tags = re.findall(r"semanir-(?:on-ray|mlflow):([\w.-]*\w)|newTag: *([\w.-]*\w)", text)
            found |= {path.relative_to(ROOT).as_posix(): {one or other for one, other in tags}} if tags else {}
    assert {"infra/OPERATIONS.md", "infra/compose/compose.yaml", "infra/ray/cluster-aws.yaml"} <= set(found)
    assert len(found) >= 11
    assert {file: tags for file, tags in found.items() if tags != {semanir.__version__}} == {}


SHORT = (
    " --set training.steps=8 --set training.validate_every=4 --set training.checkpoint_every=4"
    " --set training.schedule.warmup_steps=2 --set training.global_batch_size=2 --set data.patch_size=32"
)


@pytest.mark.slow
def test_every_block_of_the_readme_runs_as_written(stack: Stack, trained: str, tmp_path: Path) -> None:
    """Restoring and training on one's own images: the README's text, with a few steps instead of thousands."""
    del trained  # the champion that the restoring block names
    rng = np.random.default_rng(0)
    for folder in ("photos", "check", "holiday", "scans"):
        (tmp_path / folder).mkdir()
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / ("a.tif" if folder == "scans" else "a.png"))
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / "photo.jpg")
    wanted = ("photos/", "holiday/", "semanir serve")
    own = [block for block in blocks(ROOT / "README.md") if any(word in block for word in wanted)]
    assert len(own) >= 3
    for block in own:
        # The stack's environment is set already, and an install would take the place of the tree that is tested.
        text = re.sub(r"^(\. \.stack/env|pip install .*)$", "true", block, flags=re.MULTILINE)
        if "serve &" in text:
            text = f"trap 'kill $!; wait' EXIT\n{text}test -s restored.jpg\n"
        text = re.sub(r" --set training\.steps=\d+", SHORT, text)
        done = subprocess.run(
            ["bash", "-euc", text],
            cwd=tmp_path,
            env=stack.env,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, block + done.stdout + done.stderr
