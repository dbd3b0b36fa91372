"""What names an evaluation: every field of its plan but the images' address, in a form that is pinned."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import semanir
from pipeline.data.manifest import DatasetSummary, Row, Shard, dataset_digest, encode_manifest
from pipeline.metrics.lpips import LpipsWeights
from pipeline.scoring.plan import Plan, make_plan
from pipeline.tasks import TASKS

ANOTHER: dict[str, tuple[Any, ...]] = {
    "task": ("sr_x4",),
    "setting": ('{"sigma": 15}',),
    "images_digest": ("b" + 63 * "a", 63 * "a" + "b"),  # it takes part whole
    "num_images": (24, 2),
    "paired": (True,),
    "dataset": ("CBSD68",),
    "baselines": ((), ("input", "non_local_means"), ("non_local_means", "input")),
    "weights": ("", 63 * "c" + "d"),
    "ks": ((), (16,), (8, 16, 32)),
    "tile": (128, 0),
    "overlap": (8,),
    "self_ensemble": (True,),
    "pictures": (1,),
    "seed": (1,),
    "metrics_version": (2,),
    "lpips": (63 * "e" + "f",),
    "lpips_backbone": ("VGG16",),
    "protocol": ("all_in_one",),
}
# Not part, and why.
OUTSIDE = {"images": "an address: the same images give the same figures wherever they lie"}


def plan(task: str = "jpeg_color", **values: Any) -> Plan:
    """One with a value for every field, as it is with LPIPS or without."""
    given = {
        "setting": "{}", "images": "s3://a/set", "images_digest": 64 * "a", "num_images": 25, "paired": False,
        "dataset": "Kodak24", "baselines": ("input",), "weights": 64 * "c", "ks": (8, 16), "tile": None,
        "overlap": 16, "seed": 0, "metrics_version": 1,
    }  # fmt: skip
    return Plan(task=task, **{**given, **values})


WITH_LPIPS = {"lpips": 64 * "e", "lpips_backbone": "AlexNet"}


def test_every_field_is_varied_or_said_to_be_outside() -> None:
    assert sorted([*ANOTHER, *OUTSIDE]) == sorted(field.name for field in fields(Plan)), "add it to ANOTHER"
    assert not set(ANOTHER) & set(OUTSIDE)


@pytest.mark.parametrize("lpips", [{}, WITH_LPIPS], ids=["plain", "lpips"])
@pytest.mark.parametrize("protocol", ["benchmark", "all_in_one"])
@pytest.mark.parametrize("name", ANOTHER)
def test_every_field_changes_the_fingerprint(name: str, protocol: str, lpips: dict[str, str]) -> None:
    for task in TASKS:
        base = plan(task, protocol=protocol, **lpips)
        others = [replace(base, **{name: value}) for value in ANOTHER[name]]
        found = {each.fingerprint() for each in (base, *others) if each != base} | {base.fingerprint()}
        if name == "lpips_backbone" and not lpips:
            assert len(found) == 1  # of weights that are not used
        else:
            assert len(found) == 1 + sum(each != base for each in others), (task, name)


def test_an_address_is_outside() -> None:
    assert replace(plan(), images="/elsewhere").fingerprint() == plan().fingerprint()


def test_the_form_of_a_fingerprint_is_pinned() -> None:
    """Runs and tags of registered versions carry it: another form would make every evaluation a new one."""
    text = (
        '{"baselines": ["input"], "dataset": "Kodak24", "images_digest": "%s", "ks": [8, 16], %s'
        '"metrics_version": 1, "num_images": 25, "overlap": 16, "paired": false, "pictures": 0, %s"seed": 0, '
        '"self_ensemble": false, "setting": "{}", "task": "jpeg_color", "tile": null, "weights": "%s"}'
    )
    plain = text % (64 * "a", "", "", 64 * "c")
    asked = f'"lpips": "{64 * "e"}", "lpips_backbone": "AlexNet", '
    whole = text % (64 * "a", asked, '"protocol": "all_in_one", ', 64 * "c")
    assert plan().fingerprint() == hashlib.sha256(plain.encode()).hexdigest()[:12]
    everything = plan(protocol="all_in_one", **WITH_LPIPS)
    assert everything.fingerprint() == hashlib.sha256(whole.encode()).hexdigest()[:12]


@pytest.fixture
def image_set(tmp_path: Path) -> str:
    """A manifest alone: a plan reads no image."""
    shard = Shard("000.tar", 4096, 64 * "f", 3)
    rows = [Row(str(n), 1024 * n, 1024, 32 * b"\0", 32, 40, 3, degraded=False) for n in range(3)]
    summary = DatasetSummary((shard,), 32, 40, 3 * 32 * 40 * 3, has_degraded=False, fingerprint="f")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/manifest.parquet").write_bytes(encode_manifest(summary, [rows]))
    return str(tmp_path / "set")


def test_every_argument_reaches_its_field(image_set: str) -> None:
    config = semanir.model_config("ushape_tiny")  # windows of 8 x 8
    weights = LpipsWeights(b"", digest=64 * "e", title="AlexNet")
    found = make_plan(
        task=TASKS["denoising_color"], setting={"sigma": 25, "mild_share": None}, images=image_set, dataset="Kodak24",
        baselines=(), config=config, weights=64 * "c", ks=(32, 8, 32), tile=64, overlap=16, self_ensemble=True,
        pictures=2, lpips=weights, protocol="all_in_one",
    )  # fmt: skip
    assert found == Plan(
        task="denoising_color", setting='{"mild_share": null, "saved_as": "truncated_uint8", "sigma": 25}',
        images=image_set, images_digest=dataset_digest([Shard("000.tar", 4096, 64 * "f", 3)]), num_images=3,
        paired=False, dataset="Kodak24", baselines=(), weights=64 * "c", ks=(8, 32), tile=64, overlap=16,
        self_ensemble=True, pictures=2, lpips=64 * "e", lpips_backbone="AlexNet", protocol="all_in_one",
    )  # fmt: skip


def test_what_is_left_out_is_the_task_s_or_the_model_s(image_set: str) -> None:
    bare = make_plan(task=TASKS["sr_x2"], setting={}, images=f"{image_set}/")
    assert (bare.dataset, bare.baselines, bare.ks, bare.weights) == ("set", ("bicubic", "lanczos"), (), "")
    assert (bare.tile, bare.overlap, bare.self_ensemble, bare.pictures) == (None, 32, False, 0)
    assert (bare.lpips, bare.lpips_backbone, bare.protocol) == ("", "", "benchmark")
    assert make_plan(task=TASKS["sr_x2"], setting={}, images=image_set, ks=(4,)).ks == ()  # no model, no k
    shutil.copytree(image_set, f"{image_set}X")
    assert make_plan(task=TASKS["sr_x2"], setting={}, images=f"{image_set}X").dataset == "setX"
    config = semanir.model_config("ushape_tiny")
    own = make_plan(task=TASKS["denoising_color"], setting={}, images=image_set, config=config)
    assert own.ks == (config.k,)


def test_a_plan_is_said_in_words() -> None:
    said = plan("denoising_color", setting='{"sigma": 25}', num_images=1).describe()
    assert said == "Denoising (color), sigma 25; 1 image of Kodak24; RGB"
    whole = plan("denoising_color", protocol="all_in_one", self_ensemble=True, paired=True, **WITH_LPIPS).describe()
    assert whole == (
        "Denoising (color), real pairs; 25 images of Kodak24; RGB in float, not rounded, cut to multiples of 16, "
        "LPIPS v0.1 of AlexNet on whole RGB images, self-ensemble x8"
    )
    assert plan("sr_x2").describe() == "Super-resolution x2; 25 images of Kodak24; Y, border 2 px"
    two = plan("denoising_color", setting='{"sigma": [5, 12.5], "clean_share": 0.25}').describe()
    assert two == "Denoising (color), sigma 5..12.5, clean_share 0.25; 25 images of Kodak24; RGB"
