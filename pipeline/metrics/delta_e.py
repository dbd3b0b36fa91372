"""The color shift of a restored image: CIEDE2000, the color difference that eyes agree with best."""

from __future__ import annotations

import numpy as np

from pipeline.degradations.image import Image
from pipeline.metrics.convention import MetricConvention, comparable


def delta_e_2000(restored: Image, gt: Image, convention: MetricConvention) -> float:
    """Mean CIEDE2000 over the pixels of two RGB images; 0 for equal ones, about 1 is the least that an eye sees.

    G. Sharma, W. Wu, E. Dalal, "The CIEDE2000 color-difference formula", Color Research & Application 30(1), 2005, on
    sRGB seen under D65. Both images are float32 (H, W, 3) in [0, 1], compared as saved 8-bit images with the
    border of the convention cropped; colors are compared whatever its channel. Raises ValueError as ``comparable``.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab  # of the extra `train`; the list of metrics loads without

    colors = MetricConvention(channel="rgb", border=convention.border)
    lab = [rgb2lab(levels / 255.0) for levels in comparable(restored, gt, colors)]
    return float(np.mean(deltaE_ciede2000(*lab)))
