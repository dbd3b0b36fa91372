"""Pairs of photographs in bad and in clear weather: the three sets that AllWeather is drawn from, and AllWeather."""

from __future__ import annotations

from pipeline.data.importers.layout import Dataset, Split

SNOW100K = Dataset(
    name="snow100k",
    title="Snow100K",
    credit="Y.-F. Liu et al., DesnowNet: context-aware deep network for snow removal, IEEE TIP 27(6), 2018",
    licence="research only",
    download=(
        "Snow100K-training.tar.gz and Snow100K-testset.tar.gz from sites.google.com/view/yunfuliu/desnownet;"
        " unpack both into one folder. The benchmark of all-in-one weather removal is Snow100K-L"
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

OUTDOOR_RAIN = Dataset(
    name="outdoor_rain",
    title="Outdoor-Rain",
    credit="R. Li, L.-F. Cheong, R. T. Tan, Heavy rain image restoration, CVPR 2019",
    licence="research only",
    download="the training set and test1, linked from github.com/liruoteng/HeavyRainRemoval; unpack into one folder",
    splits=(
        Split(
            name="train", samples=9000,
            expected="train/in/im_0001_s80_a04.png, … (rain and fog) beside train/gt/im_0001.png, …",
            clean=r"train/gt/(?P<name>im_\d+)",
            degraded=r"train/in/(?P<key>(?P<name>im_\d+)_s\d+_a\d+)",
        ),
        Split(
            name="test", samples=750,
            expected="test1/in/im_*_s*_a*.png beside test1/gt/im_*.png: the benchmark Test1",
            clean=r"test1/gt/(?P<name>im_\d+)",
            degraded=r"test1/in/(?P<key>(?P<name>im_\d+)_s\d+_a\d+)",
        ),
    ),
)  # fmt: skip

RAINDROP = Dataset(
    name="raindrop",
    title="RainDrop",
    credit="R. Qian et al., Attentive generative adversarial network for raindrop removal, CVPR 2018",
    licence="research only",
    download="train.zip, test_a.zip and test_b.zip, linked from github.com/rui1996/DeRaindrop; unpack into one folder",
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
    licence="research only, as the three sets it is drawn from",
    download="allweather.zip, linked from github.com/jeya-maria-jose/TransWeather; unpack it",
    splits=(
        Split(
            name="train", samples=18_069, expected="allweather/input/* beside allweather/gt/* of the same names",
            clean=r"gt/(?P<name>[^/]+)",
            degraded=r"input/(?P<name>[^/]+)",
        ),
    ),
)  # fmt: skip

WEATHER_SETS = (SNOW100K, OUTDOOR_RAIN, RAINDROP, ALLWEATHER)
