"""The README's pictures are those that the command draws, with the figures that it prints."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image as PilImage

from jobs import draw_examples
from pipeline.data.packing.builtin import builtin_sources
from pipeline.evaluation.examples import EXAMPLES, GAP, SIDE, draw_example, table
from pipeline.shipped import names

README = draw_examples.ROOT / "README.md"
MOST_BYTES = 100_000


def figures(text: str) -> list[float]:
    return [float(number) for pair in re.findall(r"([\d.]+) → ([\d.]+) dB", text) for number in pair]


def test_the_readme_shows_small_pictures_of_held_out_photographs() -> None:
    text = README.read_text(encoding="utf-8")
    assert {example.photograph for example in EXAMPLES} <= {source.key for source in builtin_sources("test")}
    assert {example.model for example in EXAMPLES} <= set(names())
    for example in EXAMPLES:
        file = draw_examples.ROOT / draw_examples.FOLDER / f"{example.photograph}.webp"
        assert f"({file.relative_to(draw_examples.ROOT)})" in text
        assert f"{example.photograph}, {example.words}" in text
        assert file.stat().st_size <= MOST_BYTES
        with PilImage.open(file) as picture:
            assert picture.size == (2 * SIDE + GAP, SIDE)


def test_a_picture_is_drawn_with_its_figures() -> None:
    drawn = draw_example(EXAMPLES[0], 0)
    assert drawn.after_db > drawn.before_db + 5
    with PilImage.open(io.BytesIO(drawn.picture)) as picture:
        assert picture.size == (2 * SIDE + GAP, SIDE)
    printed = table([drawn], "folder").splitlines()
    assert printed[2] == "| ![before and after](folder/chelsea.webp) |"
    stated = re.search(r"\| ([\d.]+) → ([\d.]+) dB, `", README.read_text(encoding="utf-8"))
    assert stated is not None
    assert figures(printed[3]) == pytest.approx([float(number) for number in stated.groups()], abs=0.11)


@pytest.mark.slow
def test_the_command_prints_what_the_readme_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_examples.main(["--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    text = README.read_text(encoding="utf-8")
    assert all(line in text for line in printed.splitlines()[:3])  # titles and pictures, word for word
    shown = next(line for line in text.splitlines() if " → " in line and line.startswith("|"))
    assert figures(printed) == pytest.approx(figures(shown), abs=0.11)  # a rounded tenth may tip over on another CPU
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{each.photograph}.webp" for each in EXAMPLES)
