"""Pairs that the all-in-one papers train and test on beside noise and blur: haze, light rain, low light."""

from __future__ import annotations

from pipeline.data.packing.importers.dataset_layout import Dataset, Split

_PROMPTIR = "INSTALL.md and utils/dataset_utils.py of github.com/va1shn9v/PromptIR"
_HAZY = r"(?P<key>(?P<name>\d+)_[\d.]+_[\d.]+)"

RESIDE = Dataset(
    name="reside",
    title="RESIDE (OTS to train, SOTS outdoor to test)",
    credit="B. Li et al., Benchmarking single-image dehazing and beyond, IEEE TIP 28(1), 2019",
    license="none found: read its page before use",
    download=(
        "OTS and SOTS from sites.google.com/view/reside-dehaze-datasets/reside-v0; unpack into OTS/ and SOTS/ of one"
        " folder, or as the all-in-one papers do into Dehaze/original, Dehaze/synthetic/part1 … and dehaze/input,"
        " dehaze/target"
    ),
    seen=(
        f"place and folders in {_PROMPTIR}; hazy/ and clear/ in two public preparation guides; a hazy file's name"
        " begins with its clean partner's in several loaders; 500 in a public loader; 72,135 (35 of each of 2061) and"
        " terms: not verified"
    ),
    splits=(
        Split(
            name="train", samples=72_135,
            expected="OTS/hazy/0005_0.8_0.04.jpg, … beside OTS/clear/0005.jpg (or Dehaze/synthetic, Dehaze/original)",
            clean=r"(?:OTS|Dehaze)/(?:clear|original)/(?P<name>\d+)",
            degraded=rf"(?:OTS|Dehaze)/(?:hazy|synthetic)(?:/part\d+)?/{_HAZY}",
        ),
        Split(
            name="test", samples=500,
            expected="SOTS/outdoor/hazy/0001_0.8_0.2.jpg, … beside SOTS/outdoor/clear/0001.png (dehaze/input, target)",
            clean=r"(?:SOTS/outdoor|dehaze)/(?:clear|gt|target)/(?P<name>\d+)",
            degraded=rf"(?:SOTS/outdoor|dehaze)/(?:hazy|input)/{_HAZY}",
        ),
    ),
)  # fmt: skip

RAIN100L = Dataset(
    name="rain100l",
    title="Rain100L (with its training set)",
    credit="W. Yang et al., Deep joint rain detection and removal from a single image, CVPR 2017",
    license="none found: read its page before use",
    download=(
        "Train100L and Rain100L, linked from INSTALL.md of github.com/va1shn9v/PromptIR; unpack into Derain/rainy,"
        " Derain/gt and Rain100L/input, Rain100L/target of one folder (RainTrainL/ and Rain100L/rainy in other copies)"
    ),
    seen=(
        f"folders and names in {_PROMPTIR}; Rain100L/input and target in a public preparation guide too; counts, the"
        " names in other copies and terms: not verified"
    ),
    splits=(
        Split(
            name="train", samples=200,
            expected="Derain/rainy/rain-1.png, … beside Derain/gt/norain-1.png",
            clean=r"(?:Derain/gt|RainTrainL)/norain-(?P<name>\d+)",
            degraded=r"(?:Derain/rainy|RainTrainL)/rain-(?P<name>\d+)",
        ),
        Split(
            name="test", samples=100,
            expected="Rain100L/input/1.png, … beside Rain100L/target/1.png",
            clean=r"Rain100L/(?:target/|norain-)(?P<name>\d+)",
            degraded=r"Rain100L/(?:input/|rainy/rain-)(?P<name>\d+)",
        ),
    ),
)  # fmt: skip

LOL = Dataset(
    name="lol",
    title="LOL (version 1)",
    credit="C. Wei et al., Deep Retinex decomposition for low-light enhancement, BMVC 2018",
    license="none found: read its page before use",
    download="LOLdataset.zip from daooshee.github.io/BMVC2018website; unpack it",
    seen="our485 and eval15 with low/, high/ in several public loaders; counts by their names; terms: not verified",
    splits=tuple(
        Split(
            name=name, samples=samples, expected=f"{folder}/low/1.png, … beside {folder}/high/1.png",
            clean=rf"{folder}/high/(?P<name>\d+)",
            degraded=rf"{folder}/low/(?P<name>\d+)",
        )
        for name, folder, samples in (("train", "our485", 485), ("test", "eval15", 15))
    ),
)  # fmt: skip

ALL_IN_ONE_SETS = (RESIDE, RAIN100L, LOL)
