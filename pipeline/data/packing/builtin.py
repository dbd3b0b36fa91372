"""The built-in photographs: natural images with a free license inside the scikit-image and scikit-learn wheels.

Nothing is downloaded. Licenses as the wheels state them (docstrings of ``skimage.data``; the README beside
scikit-learn's images): Creative Commons CC0 or public domain for all of scikit-image's seven, CC BY 2.0 for
scikit-learn's two, whose photographers must be credited wherever the images are shown.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import Literal

from pipeline.data.packing.sources import Location, Source

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SKIMAGE = "skimage/data"
SKLEARN = "sklearn/datasets/images"


@dataclass(frozen=True)
class Photograph:
    """One file inside an installed package, its split, and whom to thank for it."""

    file: str
    folder: str
    split: Split
    credit: str


PHOTOGRAPHS = (
    Photograph("astronaut.png", SKIMAGE, "train", "Eileen Collins, NASA Great Images: public domain"),
    Photograph("camera.png", SKIMAGE, "val", "Lav Varshney: CC0"),
    Photograph("hubble_deep_field.jpg", SKIMAGE, "train", "Hubble eXtreme Deep Field, NASA: public domain"),
    Photograph("retina.jpg", SKIMAGE, "train", "Mikael Häggström, Fundus photograph of normal left eye: CC0"),
    Photograph(
        "china.jpg",
        SKLEARN,
        "train",
        "danielbuechele, flickr.com/photos/danielbuechele/6061409035: CC BY 2.0",
    ),
    Photograph("rocket.jpg", SKIMAGE, "test", "SpaceX, launch of DSCOVR: public domain"),
    Photograph("chelsea.png", SKIMAGE, "test", "Stefan van der Walt: CC0"),
    Photograph("coffee.png", SKIMAGE, "test", "Rachel Michetti, courtesy of Pikolo Espresso Bar: CC0"),
    Photograph("flower.jpg", SKLEARN, "train", "vultilion, flickr.com/photos/vultilion/6056698931: CC BY 2.0"),
)


def builtin_sources(split: Split) -> list[Source]:
    """The photographs of one split: five to train, one to choose the checkpoint by, three held out."""
    return [
        Source(
            key=os.path.splitext(photograph.file)[0],
            clean=_locate(photograph),
            credit=photograph.credit,
        )
        for photograph in PHOTOGRAPHS
        if photograph.split == split
    ]


def _locate(photograph: Photograph) -> Location:
    package, _, inside = photograph.folder.partition("/")
    spec = importlib.util.find_spec(package)  # finds the folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the built-in photographs need the package {package}")
    folder = os.path.join(spec.submodule_search_locations[0], inside)
    size = os.path.getsize(os.path.join(folder, photograph.file))
    return Location(folder, photograph.file, str(size))
