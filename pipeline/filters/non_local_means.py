"""Non-local means, the denoiser that everyone has: scikit-image's, with its documentation's own strengths."""

from __future__ import annotations

import numpy as np

from pipeline.degradations.image import Image, check_image

# A. Buades, B. Coll, J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005. Sizes and strength are those
# of scikit-image's gallery for the fast mode that knows sigma (Darbon et al., ISBI 2008), tuned on nothing of ours.
PATCH_SIZE = 5
PATCH_DISTANCE = 6
STRENGTH = 0.6  # h over sigma


def estimated_sigma(image: Image) -> float:
    """Standard deviation of white noise in (H, W, C), in the image's own units; the mean over the channels.

    Donoho's median of the finest wavelet details, by scikit-image. 0 for an image without details.
    """
    from skimage.restoration import estimate_sigma

    return float(np.mean(estimate_sigma(image, channel_axis=2)))


def non_local_means(image: Image) -> Image:
    """The image (H, W, C) without its noise, whose strength is estimated from the image alone: as blind as a model is.

    The result has the image's range. An image in which no noise is found comes back as it is.
    """
    from skimage.restoration import denoise_nl_means

    check_image(image)
    sigma = estimated_sigma(image)
    if not sigma > 0:
        return image.copy()
    restored = denoise_nl_means(
        image,
        patch_size=PATCH_SIZE,
        patch_distance=PATCH_DISTANCE,
        h=STRENGTH * sigma,
        sigma=sigma,
        fast_mode=True,
        channel_axis=-1,
    )
    return np.asarray(restored, np.float32).reshape(image.shape)  # it drops the axis of a single channel
