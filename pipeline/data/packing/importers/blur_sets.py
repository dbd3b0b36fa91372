"""Pairs of blurred and sharp photographs: GoPro, HIDE."""

from __future__ import annotations

from pipeline.data.packing.importers.dataset_layout import Dataset, Split

GOPRO = Dataset(
    name="gopro",
    title="GoPro (GOPRO_Large)",
    credit="S. Nah et al., Deep multi-scale convolutional neural network for dynamic scene deblurring, CVPR 2017",
    license="CC BY 4.0",
    download=(
        "GOPRO_Large.zip from seungjunnah.github.io/Datasets/gopro; unpack it. The benchmark uses the blur/ folders,"
        " not blur_gamma/"
    ),
    seen=(
        "terms (\"GOPRO dataset is released under CC BY 4.0 license\") quoted from that page in a public survey of"
        " licenses; counts and layout in the README of github.com/SeungjunNah/DeepDeblur_release; blur/ as the"
        " benchmark: not verified"
    ),
    splits=tuple(
        Split(
            name=name, samples=samples,
            expected=f"{name}/GOPR*/blur/*.png beside {name}/GOPR*/sharp/*.png",
            clean=rf"{name}/(?P<sequence>GOPR[^/]+)/sharp/(?P<frame>\d+)",
            degraded=rf"{name}/(?P<sequence>GOPR[^/]+)/blur/(?P<frame>\d+)",
        )
        for name, samples in (("train", 2103), ("test", 1111))
    ),
)  # fmt: skip

HIDE = Dataset(
    name="hide",
    title="HIDE",
    credit="Z. Shen et al., Human-aware motion deblurring, ICCV 2019",
    license="none stated by its authors",
    download="HIDE_dataset.zip, linked from github.com/joanshen0508/HA_deblur; unpack it",
    seen="archive and 6397/2025 in that README, which states no terms; layout in several public loaders",
    splits=(
        Split(
            name="train", samples=6397, expected="train/*.png beside GT/*.png of the same names",
            clean=r"GT/(?P<name>[^/]+)",
            degraded=r"train/(?P<name>[^/]+)",
        ),
        Split(
            name="test", samples=2025,
            expected="test/test-close-ups/*.png and test/test-long-shot/*.png beside GT/*.png of the same names",
            clean=r"GT/(?P<name>[^/]+)",
            degraded=r"test/test-(?:close-ups|long-shot)/(?P<name>[^/]+)",
        ),
    ),
)  # fmt: skip

BLUR_SETS = (GOPRO, HIDE)
