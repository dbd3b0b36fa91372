"""Which images a folder has, and that nothing of it is passed over in silence."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.images.folders import find_images


def names(folder: Path, output: Path | None = None) -> tuple[list[str], dict[str, int]]:
    found = find_images(folder, {".png"}, output)
    return [path.relative_to(folder).as_posix() for path in found.files], dict(found.left_out)


def test_links_are_followed_once_and_all_else_is_counted(tmp_path: Path) -> None:
    top = tmp_path / "in"
    (top / "sub").mkdir(parents=True)
    (tmp_path / "album").mkdir()
    for path in (top / "a.PNG", top / "sub/b.png", tmp_path / "album/c.png", top / "d.heic", top / ".e.png", top / "f"):
        path.write_bytes(b"x")
    (top / "linked").symlink_to(tmp_path / "album")
    (top / "again").symlink_to(top / "sub")
    (top / "round").symlink_to(top)
    (top / "gone.png").symlink_to("/unmounted/x.png")
    (top / "circle.png").symlink_to("circle.png")
    os.mkfifo(top / "pipe.png")
    files, left_out = names(top)
    assert files == ["a.PNG", "linked/c.png", "sub/b.png"]
    assert left_out == {
        ".heic": 1, "hidden images": 1, "files without suffix": 1, "links to nothing": 2, "no regular files": 1,
        "linked folders that are met elsewhere": 2,
    }  # fmt: skip
    assert find_images(top, {".png"}).line("in").startswith("left out of in: 2 ")


def test_the_output_folder_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "restored").mkdir()
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "restored" / "a.png").write_bytes(b"x")
    assert names(tmp_path, tmp_path / "restored") == (["a.png"], {})
    assert names(tmp_path) == (["a.png", "restored/a.png"], {})
