"""How large each section's cases are: the report's own, and tiny ones that show on any machine that its paths run."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.benchmarks.attention_case import Case


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """attention: cases of every k. models: (name, side of the patch, overrides) of a training step of ``batch`` images.

    restoring: megapixels. large: height and width of the low-resolution input of super-resolution.
    """

    rounds: int
    attention: tuple[Case, ...]
    models: tuple[tuple[str, int, dict[str, int]], ...]
    batch: int
    restoring: tuple[float, ...]
    restoring_model: str
    tile: int
    large: tuple[int, int]
    large_model: str


FULL = Sizes(
    rounds=5,
    attention=tuple(
        Case(windows=8 * 64 * 64 // tokens, tokens=tokens, k=k, head_dim=32)
        for tokens, keys in ((64, (4, 16, 32)), (256, (16, 64, 128)), (1024, (64, 128, 192, 256, 384, 512)))
        for k in keys
    ),
    models=(("ushape_base", 128, {}), ("columnar_small", 64, {})),
    batch=8,
    restoring=(1, 8, 24),
    restoring_model="ushape_base",
    tile=512,
    large=(512, 384),  # Urban100's images are about 1024 x 768
    large_model="columnar_small",
)
SMALL = Sizes(
    rounds=1,
    attention=(
        Case(windows=2, tokens=64, k=16, heads=2, head_dim=16),
        Case(windows=1, tokens=33, k=5, heads=1, head_dim=16),
    ),
    models=(("ushape_tiny", 16, {}), ("columnar_tiny", 16, {})),
    batch=2,
    restoring=(0.0064,),  # two by two tiles
    restoring_model="ushape_tiny",
    tile=48,
    large=(24, 16),
    large_model="columnar_tiny",
)
