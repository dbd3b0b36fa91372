"""The veil of rain and fog: light from the scene is attenuated, light from the air is added.

Atmospheric scattering model (Koschmieder; R. T. Tan, "Visibility in bad weather from a single image", CVPR
2008): observed = t · scene + (1 - t) · airlight, t = exp(-β·depth). Heavy rain images (Outdoor-Rain: R. Li,
L.-F. Cheong, R. T. Tan, CVPR 2019) follow it too. Real depth is not known for ordinary photographs, so the
random veil takes a smooth relief instead: the optical depth varies linearly over the image, more of it
toward a random side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from pipeline.degradations.image import Image
from pipeline.degradations.ranges import Range, draw


@dataclass(frozen=True, kw_only=True)
class Veil:
    """transmission: (H, W, 1) in (0, 1]; airlight: one gray value in [0, 1]."""

    transmission: npt.NDArray[np.float32]
    airlight: float


def random_veil(rng: Generator, height: int, width: int, transmission: Range, airlight: Range, relief: Range) -> Veil:
    """Draw a veil for an image of the given size.

    transmission: mean optical transmission t, each end in (0, 1]. airlight: brightness of the air, in [0, 1].
    relief: relative change of optical depth from the center to the far corner, in [0, 1]; (0, 0): a uniform veil.
    """
    mean = draw(rng, transmission)
    brightness = draw(rng, airlight)
    slope = draw(rng, relief)
    angle = 2.0 * math.pi * rng.random()
    x, y = math.cos(angle), math.sin(angle)
    scale = slope / (abs(x) + abs(y))
    columns = np.linspace(-scale * x, scale * x, width, dtype=np.float32)[None, :]
    rows = np.linspace(-scale * y, scale * y, height, dtype=np.float32)[:, None]
    depth = 1.0 + columns + rows
    field = np.exp(np.float32(math.log(mean)) * depth, dtype=np.float32)
    return Veil(transmission=field[:, :, None], airlight=brightness)


def add_veil(image: Image, veil: Veil) -> Image:
    """t · image + (1 - t) · airlight."""
    return ((image - np.float32(veil.airlight)) * veil.transmission + np.float32(veil.airlight)).astype(np.float32)


def remove_uniform_veil(image: Image, transmission: float, airlight: float) -> Image:
    """Exact inverse of a uniform veil of known strength, clipped to [0, 1]: (image - (1 - t)·airlight) / t."""
    scene = (image - np.float32((1.0 - transmission) * airlight)) / np.float32(transmission)
    return np.clip(scene, 0.0, 1.0).astype(np.float32)
