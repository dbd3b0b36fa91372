"""Pairs of photographs in bad and in clear weather: the three sets that AllWeather is drawn from, and AllWeather."""

from __future__ import annotations

from pipeline.data.packing.importers.dataset_layout import Dataset, Split

SNOW100K = Dataset(
    name="snow100k",
    title="Snow100K",
    credit="Y.-F. Liu et al., DesnowNet: context-aware deep network for snow removal, IEEE TIP 27(6), 2018",
    license="none found: read its page before use",
    download=(
        "Snow100K-training.tar.gz and Snow100K-testset.tar.gz from sites.google.com/view/yunfuliu/desnownet;"
        " unpack both into one folder; where its links have expired, as people report since 2024, ask the authors. The"
        " benchmark of all-in-one weather removal is Snow100K-L"
    ),
    seen=(
        "archives and all/, test/ in the README of github.com/CDWJ/desnow; 50,000 and 16,588 in"
        " github.com/sunshangquan/Histoformer issue 9; the three test counts in a public loader, which counts 49,999"
        " to train on; terms: not verified"
    ),
    splits=(
        Split(
            name="train", samples=50_000, expected="all/synthetic/*.jpg beside all/gt/*.jpg of the same names",
            clean=r"all/gt/(?P<name>[^/]+)",
            degraded=r"all/synthetic/(?P<name>[^/]+)",
        ),
        *(
            Split(
                name=f"test_{size.lower()}", samples=samples,
                expected=f"Snow100K-{size}/synthetic/*.jpg beside Snow100K-{size}/gt/*.jpg of the same names",
                clean=rf"Snow100K-{size}/gt/(?P<name>[^/]+)",
                degraded=rf"Snow100K-{size}/synthetic/(?P<name>[^/]+)",
            )
            for size, samples in (("S", 16_611), ("M", 16_588), ("L", 16_801))
        ),
    ),
)  # fmt: skip

# Ground truths 0301 to 0350 are also those of Test1.
_NOT_OF_TEST1 = r"im_(?!03(?:0[1-9]|[1-4]\d|50)(?!\d))\d+"

OUTDOOR_RAIN = Dataset(
    name="outdoor_rain",
    title="Outdoor-Rain",
    credit="R. Li, L.-F. Cheong, R. T. Tan, Heavy rain image restoration, CVPR 2019",
    license="none stated by its authors",
    download=(
        "the training set, linked from github.com/liruoteng/HeavyRainRemoval, and Test1, which only an older README of"
        " github.com/jeya-maria-jose/TransWeather links (commit 33e677e); unpack into one folder. Of its 9000 training"
        " pairs im_0301 to im_0350 are left out: Test1 has the same ground truths"
    ),
    seen=(
        "place in that README, which states no terms; Test1/in and Test1/gt in its repository; the shared ground"
        " truths and Test1's place in github.com/IGITUGraz/WeatherDiffusion issues 3, 9 and 21; 9000 pairs of 600"
        " photographs in a public loader; Test1's 750: not verified"
    ),
    splits=(
        Split(
            name="train", samples=8250,
            expected="train/in/im_0001_s80_a04.png, … (rain and fog) beside train/gt/im_0001.png, …",
            clean=rf"train/gt/(?P<name>{_NOT_OF_TEST1})",
            degraded=rf"train/(?:in|data)/(?P<key>(?P<name>{_NOT_OF_TEST1})_s\d+_a\d+)",
        ),
        Split(
            name="test", samples=750,
            expected="Test1/in/im_*_s*_a*.png beside Test1/gt/im_*.png",
            clean=r"[Tt]est1?/gt/(?P<name>im_\d+)",
            degraded=r"[Tt]est1?/(?:in|data)/(?P<key>(?P<name>im_\d+)_s\d+_a\d+)",
        ),
    ),
)  # fmt: skip

RAINDROP = Dataset(
    name="raindrop",
    title="RainDrop",
    credit="R. Qian et al., Attentive generative adversarial network for raindrop removal, CVPR 2018",
    license="none stated by its authors",
    download="train.zip, test_a.zip and test_b.zip, linked from github.com/rui1996/DeRaindrop; unpack into one folder",
    seen=(
        "place and 861 in that README, which states no terms, counts 239 in test_b and calls test_a a part of it; the"
        " files, 58 and 249, in the page of a public loader"
    ),
    splits=tuple(
        Split(
            name=name, samples=samples, expected=f"{folder}/data/0_rain.png beside {folder}/gt/0_clean.png",
            clean=rf"{folder}/gt/(?P<name>\d+)_clean",
            degraded=rf"{folder}/data/(?P<name>\d+)_rain",
        )
        for name, folder, samples in (("train", "train", 861), ("test", "test_a", 58), ("test_b", "test_b", 249))
    ),
)  # fmt: skip

ALLWEATHER = Dataset(
    name="allweather",
    title="AllWeather",
    credit="J. M. J. Valanarasu et al., TransWeather, CVPR 2022; drawn from Snow100K, Outdoor-Rain and RainDrop",
    license="none stated by its authors; those of the three sets it is drawn from hold",
    download="the training data linked from github.com/jeya-maria-jose/TransWeather; unpack it",
    seen=(
        "place, 18,069 and input/ beside gt/ in that README; a person counted 8250 pairs of Outdoor-Rain, 9001 of"
        " Snow100K and 818 of RainDrop in it (github.com/fordevoted/UtilityIR issue 1); the folder's name: not verified"
    ),
    splits=(
        Split(
            name="train", samples=18_069, expected="allweather/input/* beside allweather/gt/* of the same names",
            clean=r"gt/(?P<name>[^/]+)",
            degraded=r"input/(?P<name>[^/]+)",
        ),
    ),
)  # fmt: skip

WEATHER_SETS = (SNOW100K, OUTDOOR_RAIN, RAINDROP, ALLWEATHER)
