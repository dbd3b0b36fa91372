from __future__ import annotations

import io
import tarfile

import pytest

from pipeline.data.images import decode_image
from pipeline.data.packing.builtin import PHOTOGRAPHS, SPLITS, builtin_sources
from pipeline.data.packing.sources import all_sources, folder_sources, paired_sources, sample_key
from pipeline.errors import UserError
from pipeline.storage.base import Entry


def test_a_key_has_neither_suffix_nor_dot():
    assert sample_key("a/photo.v2.final.png") == "a/photo_v2_final"


def test_folders_are_searched_and_other_files_left(images):
    folder = images(3)
    (folder / "notes.txt").write_text("x")
    (folder / "deep").mkdir()
    (folder / "img000.png").rename(folder / "deep" / "x.PNG")
    assert [source.key for source in folder_sources(str(folder))] == ["deep/x", "img001", "img002"]


def test_a_folder_without_images_says_what_was_found(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds no images \(1 other files\); expected files named \.png"):
        folder_sources(str(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        folder_sources(str(tmp_path / "no"))


def test_several_folders_keep_their_names_apart(images):
    keys = [source.key for source in all_sources([str(images(1)), str(images(2))])]
    assert keys == ["images1/img000", "images2/img000", "images2/img001"]


def test_two_files_with_one_key_are_refused(images):
    folder = images(1)
    (folder / "img000.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="would share the key 'img000'"):
        all_sources([str(folder)])


def test_a_pair_without_partner_is_named(images):
    with pytest.raises(UserError, match=r"no partner for 1 image of .*, the first is 'img002'"):
        paired_sources(str(images(3)), str(images(2)))


def test_the_built_in_photographs_are_there_and_credited():
    shapes = {
        source.key: decode_image(source.clean.read()).shape for split in SPLITS for source in builtin_sources(split)
    }
    assert shapes["retina"] == (1411, 1411, 3)
    assert shapes["camera"] == (512, 512, 1)
    assert len(shapes) == len(PHOTOGRAPHS) == 9
    assert all(photograph.credit for photograph in PHOTOGRAPHS)


def test_the_splits_share_no_photograph():
    splits = {split: {source.key for source in builtin_sources(split)} for split in SPLITS}
    assert splits["test"] == {"chelsea", "coffee", "rocket"}
    assert splits["val"] == {"camera"}
    assert len(splits["train"]) == 5
    assert len(set.union(*splits.values())) == 9


def test_the_images_of_a_tar_are_read_where_they_lie(images, tmp_path):
    folder = images(3)
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(folder, "photos")
        tar.add(folder / "img000.png", "photos/readme.txt")
    sources = all_sources([str(tmp_path / "set.tar")])
    assert [source.key for source in sources] == [f"photos/img00{n}" for n in range(3)]
    assert [source.clean.read() for source in sources] == [path.read_bytes() for path in sorted(folder.iterdir())]
    assert str(sources[1].clean).endswith("set.tar#photos/img001.png")


def test_a_tar_says_what_it_leaves_out_as_a_folder_does(images, tmp_path):
    """Two hundred members of a tar could be missing from a data set, and no line said so."""
    image, said = (images(1) / "img000.png").read_bytes(), []
    members = [("./a.png", image), ("note.txt", b"x"), ("b.GIF", b"x"), (".c.png", image), ("noext", image)]
    members += [("deep/.hidden/d.png", image), ("deep/._a.png", b"x"), (".png", image), (".git/config", b"x")]
    kinds = {"e.png": tarfile.SYMTYPE, "f.png": tarfile.LNKTYPE, "g.png": tarfile.FIFOTYPE, "deep.png": tarfile.DIRTYPE}
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "../../a.png" if kind == tarfile.SYMTYPE else "./a.png"
            tar.addfile(member)
    sources = all_sources([str(tmp_path / "set.tar")], said.append)
    assert [source.key for source in sources] == ["a"]
    assert said == [
        f"left out of {tmp_path}/set.tar: 3 hidden images, 2 links, 1 .txt, 1 .gif, 1 files without suffix, "
        "1 no regular files"
    ]


def test_a_sparse_member_is_left_out_since_its_bytes_lie_apart(images, tmp_path):
    image, said = (images(1) / "img000.png").read_bytes(), []
    with tarfile.open(tmp_path / "set.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, headers in (("a.png", {}), ("b.png", {"GNU.sparse.map": "0,1", "GNU.sparse.size": "9999"})):
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(image), headers
            tar.addfile(member, io.BytesIO(image))
    assert [source.key for source in all_sources([str(tmp_path / "set.tar")], said.append)] == ["a"]
    assert said == [f"left out of {tmp_path}/set.tar: 1 sparse members"]


def test_a_tar_without_images_says_what_was_found(tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("notes.txt"))
    with pytest.raises(UserError, match=r"holds no images \(1 other members\); expected members named \.png"):
        all_sources([str(tmp_path / "set.tar")])


def test_tars_that_cannot_be_trusted_or_read_are_refused(images, tmp_path):
    image = images(1) / "img000.png"
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(image, "../img000.png")
    with pytest.raises(UserError, match=r"'\.\./img000\.png' leaves its folder"):
        all_sources([str(tmp_path / "evil.tar")])
    (tmp_path / "no.tar").write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match="is no plain tar"):
        all_sources([str(tmp_path / "no.tar")])
    with pytest.raises(UserError, match="does not exist"):
        all_sources([str(tmp_path / "missing.tar")])


KEYS = ("a.png", "b//c.png", "../d.png", "e\\f.png", "notes.txt", ".h.png", "x/.trash/i.png", ".DS_Store",
        "x.png/")  # fmt: skip


class Listed:
    """What AWS may list, and the embedded server refuses to store: any text is a key of S3."""

    def list(self):
        return [Entry(key, 1, "") for key in KEYS]


def test_s3_names_that_are_no_paths_are_counted_and_the_others_packed(monkeypatch):
    monkeypatch.setattr("pipeline.data.packing.listing.open_storage", lambda uri: Listed())
    said: list[str] = []
    assert [source.key for source in folder_sources("s3://tests/odd", say=said.append)] == ["a"]
    assert len(said) == 1
    assert "3 names that are no paths" in said[0]
    assert "2 hidden images" in said[0]
    assert "1 .txt" in said[0]
