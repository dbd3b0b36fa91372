"""What names an evaluation: every field of its plan but the images' address, in a form that is pinned."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest

from pipeline.scoring.plan import Plan
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
