"""Whether a picture lies within what a model was trained on, in one line for a person when it does not."""

from __future__ import annotations

from collections.abc import Mapping

# An estimate of noise is off by some levels on textured pictures; only clearly more is worth a line.
NOISE_TOLERANCE = 1.25


def misfits(bounds: Mapping[str, tuple[float, float]], *, sigma: float | None, quality: int | None) -> list[str]:
    """What of a picture lies outside a model's range; empty when nothing does, or nothing is known.

    Args:
        bounds: "sigma" (8-bit gray levels) and "quality" (JPEG's factor), each (least, most), where the model has them.
        sigma: the picture's noise, estimated; None: not known.
        quality: the picture's JPEG quality, estimated; None: not a JPEG file.
    """
    lines = []
    if sigma is not None and "sigma" in bounds and sigma > NOISE_TOLERANCE * bounds["sigma"][1]:
        least, most = bounds["sigma"]
        lines.append(f"its noise is about {sigma:.0f} gray levels, the model knows {least:g} to {most:g}")
    if quality is not None and "quality" in bounds and not bounds["quality"][0] <= quality <= bounds["quality"][1]:
        least, most = bounds["quality"]
        lines.append(f"its JPEG quality is about {quality}, the model knows {least:g} to {most:g}")
    return lines
