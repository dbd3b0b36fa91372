"""What a card says of whose the training images are."""

from __future__ import annotations

from pipeline.data.manifest import DatasetSummary, Manifest
from pipeline.data.packing.credits import owners
from pipeline.data.packing.importers import get_dataset


def packed(*credits: tuple[str, str]) -> Manifest:
    summary = DatasetSummary(
        shards=(), min_height=1, min_width=1, decoded_bytes=0, has_degraded=False, fingerprint="", credits=credits
    )
    return Manifest("s3://bucket/set", summary, digest="")


def test_the_license_stands_beside_who_is_to_thank() -> None:
    gopro = get_dataset("gopro")
    assert owners(packed(("camera", "Lav Varshney: CC0"), ("2103 images", gopro.credit))) == (
        "camera: Lav Varshney: CC0",
        f"2103 images: {gopro.credit}; license: CC BY 4.0",
    )
    assert owners(packed()) == ()


def test_a_set_with_many_owners_names_some_and_says_where_the_others_are() -> None:
    lines = owners(packed(*((f"image{number}", "somebody: CC0") for number in range(20))))
    assert len(lines) == 13
    assert lines[-1] == "and 8 more, in the footer of s3://bucket/set"
