"""The canonical test sets: a folder of images each, by the names they are published with. Never train on them."""

from __future__ import annotations

from pipeline.data.packing.importers.dataset_layout import Dataset, Split

_NONE_FOUND = "none found; used for research by custom"
_BSDS = "non-commercial research and education (of the Berkeley data)"
_BSDS_SEEN = "terms quoted from the older BSDS page in two repositories"
_COLLECTIONS = "also in the usual collections of test sets for restoration (e.g. of KAIR, BasicSR)"


def _test_set(
    name: str, title: str, samples: int, pattern: str, expected: str, credit: str, source: str, seen: str,
    license: str = _NONE_FOUND,
) -> Dataset:  # fmt: skip
    split = Split(name="test", samples=samples, expected=expected, clean=rf"(?P<name>{pattern})")
    download = f"{source}; {_COLLECTIONS}"
    return Dataset(
        name=name, title=title, credit=credit, license=license, download=download, seen=seen, splits=(split,)
    )


# Collections mark ground truth by such endings, and put low-resolution copies (…x4, …_LR) beside it: those are left.
_GT = r"(?:_GT|_HR|_SRF_\d_HR)?"

BENCHMARK_SETS = (
    _test_set(
        "kodak", "Kodak", 24, r"kodim\d\d", "kodim01.png to kodim24.png",
        "Kodak lossless true color image suite", "r0k.us/graphics/kodak",
        "terms (\"released by the Eastman Kodak Company for unrestricted usage\") and place in libavif's tests/data"
        " README; 24 files in testsets/Kodak24 of github.com/cszn/FFDNet", "unrestricted usage",
    ),
    _test_set(
        "mcmaster", "McMaster (McM)", 18, r"(?:McM)?\d\d?", "1.tif to 18.tif",
        "L. Zhang et al., Color demosaicking by local directional interpolation, J. Electronic Imaging 20(2), 2011",
        "CDM_Dataset.zip from www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        "page and 18 in public READMEs that link it; the archive's name, the files' names and terms: not verified",
    ),
    _test_set(
        "live1", "LIVE1", 29, r"[a-z]+\w*", "bikes.bmp, buildings.bmp, … womanhat.bmp",
        "H. R. Sheikh et al., LIVE image quality assessment database release 2",
        "the reference images (refimgs/) of the LIVE database, University of Texas at Austin",
        "terms in live.ece.utexas.edu/research/Quality/JPEG2000/readme.txt, of release 1 (that of release 2: not"
        " verified; some images are from a commercial CD); names in testsets/LIVE1 of github.com/cszn/DnCNN; 29 in a"
        " public script", "release 1: any purpose, with its copyright notice and a citation",
    ),
    _test_set(
        "classic5", "classic5", 5, r"(?:baboon|barbara|boats|lena|peppers)",
        "baboon.bmp, barbara.bmp, boats.bmp, lena.bmp, peppers.bmp",
        "the gray images of A. Foi et al., Pointwise shape-adaptive DCT, IEEE TIP 16(5), 2007",
        "the SA-DCT demo package of Tampere University",
        "named in the README of github.com/cszn/DnCNN as a test set; origin, file names and terms: not verified",
    ),
    _test_set(
        "set5", "Set5", 5, rf"(?:baby|bird|butterfly|head|woman){_GT}",
        "baby.png, bird.png, butterfly.png, head.png, woman.png (or …_GT.png)",
        "M. Bevilacqua et al., Low-complexity single-image super-resolution, BMVC 2012",
        "people.rennes.inria.fr/Aline.Roumy/results/SR_BMVC12.html",
        "page in the README of github.com/jbhuang0604/SelfExSR; terms: not verified",
    ),
    _test_set(
        "set12", "Set12", 12, r"\d\d", "01.png to 12.png",
        "K. Zhang et al., Beyond a Gaussian denoiser, IEEE TIP 26(7), 2017", "testsets/Set12 of github.com/cszn/DnCNN",
        "place and file names in that README; 12 in public READMEs; terms: not verified",
    ),
    _test_set(
        "set14", "Set14", 14,
        r"(?:baboon|barbara|bridge|coastguard|comic|face|flowers|foreman|lenn?a|man|monarch|pepper|ppt3|zebra)" + _GT,
        "baboon.png, barbara.png, … zebra.png",
        "R. Zeyde et al., On single image scale-up using sparse representations, Curves and Surfaces 2010",
        "sites.google.com/site/romanzeyde/research-interests",
        "page in the README of github.com/jbhuang0604/SelfExSR; 14 and names in a dataset card that gives the terms as"
        " unknown",
    ),
    _test_set(
        "bsd68", "BSD68 (gray)", 68, r"test\d{3}", "test001.png to test068.png",
        "S. Roth, M. J. Black, Fields of experts, IJCV 82(2), 2009", "testsets/BSD68 of github.com/cszn/DnCNN",
        f"{_BSDS_SEEN}; place and file names in that repository; 68 in public READMEs", _BSDS,
    ),
    _test_set(
        "bsd100", "BSD100", 100, r"\d{4,6}", "3096.png, 8023.png, … 388016.png",
        "D. Martin et al., A database of human segmented natural images, ICCV 2001",
        "the val images of BSDS500",
        f"{_BSDS_SEEN} and in a dataset card, with 100 = the test images of BSDS300; = val of BSDS500 in a public"
        " download script", _BSDS,
    ),
    _test_set(
        "urban100", "Urban100", 100, r"img_?\d{3}" + _GT, "img_001.png to img_100.png",
        "J.-B. Huang et al., Single image super-resolution from transformed self-exemplars, CVPR 2015",
        "github.com/jbhuang0604/SelfExSR",
        "place in that README, which states no terms; 100 in BasicSR's docs/DatasetPreparation.md; a mirror says CC BY"
        " 4.0, which its authors do not: not verified", "none stated by its authors",
    ),
    _test_set(
        "manga109", "Manga109 (one page of each volume)", 109, r"[A-Z][^/]*?",
        "AisazuNihaIrarenai.png, … YumeiroCooking.png",
        "Y. Matsui et al., Sketch-based manga retrieval using Manga109, Multimedia Tools and Applications 76, 2017",
        "on request from manga109.org",
        "terms (\"solely for academic purposes\", each work's author gave leave; 87 volumes, Manga109-s, for others"
        " too) in the card of its makers' own release; 109 in BasicSR's docs/DatasetPreparation.md",
        "academic purposes only, on application; no passing on",
    ),
)  # fmt: skip
