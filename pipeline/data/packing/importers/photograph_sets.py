"""Clean photographs to train on: DIV2K, Flickr2K, BSDS500, WED."""

from __future__ import annotations

from pipeline.data.packing.importers.dataset_layout import Dataset, Split

DIV2K = Dataset(
    name="div2k",
    title="DIV2K",
    credit="E. Agustsson, R. Timofte, NTIRE 2017 challenge on single image super-resolution, CVPRW 2017",
    license="academic research purpose only; the copyright of the photographs belongs to their owners",
    download=(
        "DIV2K_train_HR.zip and DIV2K_valid_HR.zip (high resolution images) from data.vision.ee.ethz.ch/cvl/DIV2K;"
        " unpack both into one folder"
    ),
    seen=(
        "terms, as its homepage words them, in a loader that quotes it; archives in TensorFlow Datasets' div2k.py; 800"
        " and 100 in BasicSR's docs/DatasetPreparation.md"
    ),
    splits=(
        Split(
            name="train", samples=800, expected="DIV2K_train_HR/0001.png to 0800.png",
            clean=r"DIV2K_train_HR/(?P<name>0[0-8]\d\d)",
        ),
        Split(
            name="val", samples=100, expected="DIV2K_valid_HR/0801.png to 0900.png",
            clean=r"DIV2K_valid_HR/(?P<name>0[89]\d\d)",
        ),
    ),
)  # fmt: skip

FLICKR2K = Dataset(
    name="flickr2k",
    title="Flickr2K",
    credit="B. Lim et al., Enhanced deep residual networks for single image super-resolution, CVPRW 2017",
    license="none stated for the set; the photographs belong to their owners on Flickr: research use",
    download="Flickr2K.tar, linked from the README of github.com/limbee/NTIRE2017; unpack it",
    seen=(
        "archive and folder in that README, which states no terms; 2650 in BasicSR's docs/DatasetPreparation.md and"
        " SwinIR's README; that the owners are Flickr's: not verified"
    ),
    splits=(
        Split(
            name="train", samples=2650, expected="Flickr2K_HR/000001.png to 002650.png",
            clean=r"Flickr2K_HR/(?P<name>\d{6})",
        ),
    ),
)  # fmt: skip

BSDS500 = Dataset(
    name="bsds500",
    title="BSDS500, its train and test images",
    credit="P. Arbelaez et al., Contour detection and hierarchical image segmentation, PAMI 33(5), 2011",
    license="non-commercial research and education",
    download=(
        "BSR_bsds500.tgz from the Berkeley Segmentation Data Set page; unpack it. Its val images are left out: they"
        " are the test set BSD100, and CBSD68 is part of them"
    ),
    seen=(
        "terms of the older BSDS page (free for non-commercial research and educational purposes), quoted in two"
        " repositories; archive and 400 in SwinIR's README; val = BSD100 in a public download script; CBSD68 as part"
        " of it: not verified"
    ),
    splits=(
        Split(
            name="train", samples=400, expected="BSDS500/data/images/train/*.jpg and .../test/*.jpg, 200 each",
            clean=r"images/(?:train|test)/(?P<name>\d+)",
        ),
    ),
)  # fmt: skip

WED = Dataset(
    name="wed",
    title="WED, the Waterloo Exploration Database",
    credit="K. Ma et al., Waterloo Exploration Database, IEEE Trans. Image Processing 26(2), 2017",
    license="none found: read the database's page before use",
    download="exploration_database_and_code.rar from ece.uwaterloo.ca/~k29ma/exploration; unpack it",
    seen=(
        "archive and 4744 in SwinIR's README; page and pristine_images/*.bmp in a loader for TensorFlow Datasets (some"
        " images have an alpha channel); terms: not verified"
    ),
    splits=(
        Split(
            name="train", samples=4744, expected="pristine_images/00001.bmp to 04744.bmp",
            clean=r"pristine_images/(?P<name>\d{5})",
        ),
    ),
)  # fmt: skip

PHOTOGRAPH_SETS = (DIV2K, FLICKR2K, BSDS500, WED)
