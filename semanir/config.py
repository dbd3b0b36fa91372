"""The frozen description of one SemanIR model: everything needed to build it, nothing about training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral
from typing import Any, Literal, get_args

from semanir.caution import Caution
from semanir.ops.attention.backends import BACKEND_NAMES

Family = Literal["columnar", "ushape"]
Shift = Literal["both_grids", "per_stage"]


# A configuration may come with somebody's weights: what no SemanIR has is refused before memory is taken.
LIMITS = {
    "embed_dim": 4096,
    "num_heads": 256,
    "window_size": 128,
    "k": 128**2,
    "in_channels": 256,
    "out_channels": 256,
    "upscale": 16,
    "bias_hidden_dim": 8192,
    "upsample_dim": 4096,
}
MAX_STAGES, MAX_DEPTH, MAX_MLP_RATIO, MAX_WIDTH = 64, 128, 64, 8192


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a SemanIR model.

    family: ``columnar`` (super-resolution, SwinIR's skeleton) or ``ushape`` (an encoder-decoder at equal size).
    embed_dim, num_heads: channels and heads of the first level; a U-shape doubles both at every level below,
        so the head dimension stays constant.
    depths: layers per stage. Columnar: one entry per stage. U-shape with L levels: encoder levels, the latent
        one, decoder levels (2L - 1 entries), and optionally one more stage at full size (2L entries).
    window_size: side of the square window in tokens; at most ``window_size**2`` keys can be kept.
    k: keys that each token keeps when ``model(x)`` is called without ``k``.
    shift: ``both_grids`` builds one dictionary for each of the plain and the shifted window grid at stage entry and
        lets the layers alternate; ``per_stage`` (an ablation) builds one, and the grid alternates by stage.
    attention: a name of :data:`semanir.ops.attention.backends.BACKENDS`, or ``auto``.
    bias_hidden_dim: hidden width of the position-bias network.
    upsample_dim: channels of a columnar model's reconstruction part; 64 in SwinIR.
    image_skip: add the input image (bicubically enlarged by a columnar model) to the output.
    zero_init_last: start with a zero last convolution, so that an untrained model with ``image_skip`` is the identity.
    checkpoint_stages: recompute the layers' activations in the backward pass (never the dictionaries).
    check_finite: raise when a stage's features hold NaN or infinity; synchronizes the device.
    caution: (share, low, high) of :class:`semanir.caution.Caution`, which a small change of the input image is
        made with; needs ``image_skip``. None: every change is made whole.

    Raises ValueError naming the field, its value and the limit.
    """

    family: Family
    embed_dim: int
    depths: tuple[int, ...]
    num_heads: int
    window_size: int
    k: int
    in_channels: int = 3
    out_channels: int = 3
    mlp_ratio: float = 2.0
    upscale: int = 1
    shift: Shift = "both_grids"
    attention: str = "auto"
    bias_hidden_dim: int = 512
    upsample_dim: int = 64
    image_skip: bool = True
    zero_init_last: bool = False
    checkpoint_stages: bool = False
    check_finite: bool = False
    caution: Caution | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.depths, list | tuple):
            raise ValueError(f"depths must be a list of positive integers, got {self.depths!r:.40}")
        object.__setattr__(self, "depths", tuple(self.depths))
        _one_of("family", self.family, get_args(Family))
        _one_of("shift", self.shift, get_args(Shift))
        _one_of("attention", self.attention, BACKEND_NAMES)
        for name, most in LIMITS.items():
            _positive_int(name, getattr(self, name), most)
        for name in ("image_skip", "zero_init_last", "checkpoint_stages", "check_finite"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r:.40}")
        if not self.depths:
            raise ValueError("depths must name at least one stage, got ()")
        if len(self.depths) > MAX_STAGES:
            raise ValueError(f"depths names {len(self.depths)} stages; at most {MAX_STAGES} are built")
        for depth in self.depths:
            _positive_int("each of depths", depth, MAX_DEPTH)
        if max(self.widths) > MAX_WIDTH:
            raise ValueError(
                f"embed_dim {self.embed_dim} doubled at each of {self.levels} levels gives {max(self.widths):.4g} "
                f"channels; at most {MAX_WIDTH} are built"
            )
        if (
            isinstance(self.mlp_ratio, bool)
            or not isinstance(self.mlp_ratio, int | float)
            or not 0 < self.mlp_ratio <= MAX_MLP_RATIO
        ):
            raise ValueError(
                f"mlp_ratio must be a positive number, got {self.mlp_ratio!r:.40}; at most {MAX_MLP_RATIO}"
            )
        if int(self.embed_dim * self.mlp_ratio) < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} leaves no hidden channel at embed_dim {self.embed_dim}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} must be divisible by num_heads {self.num_heads}")
        check_k(self.k, self.window_size)
        if self.family == "ushape" and self.upscale != 1:
            raise ValueError(f"a ushape model keeps the image size: upscale must be 1, got {self.upscale}")
        if self.upscale != 3 and self.upscale & (self.upscale - 1):
            raise ValueError(f"upscale must be 3 or a power of two, got {self.upscale}")
        object.__setattr__(self, "caution", _caution(self.caution))
        if self.caution is not None and not self.image_skip:
            raise ValueError("caution is about how the input image changes: it needs image_skip, which is false")
        if self.image_skip and self.in_channels not in (1, self.out_channels):
            raise ValueError(
                f"image_skip adds the input to the output: in_channels {self.in_channels} must be 1 or equal "
                f"out_channels {self.out_channels}; or set image_skip to false"
            )

    @property
    def levels(self) -> int:
        """Resolution levels: 1 for columnar; a U-shape halves the features between neighboring levels."""
        return 1 if self.family == "columnar" else (len(self.depths) + 1) // 2

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage, in the order in which the features pass through them."""
        return tuple(self.embed_dim * 2**level for level in self.stage_levels)

    @property
    def stage_levels(self) -> tuple[int, ...]:
        """The level of each stage in that order: all 0 in a columnar model, 0 1 2 3 2 1 0 (0) in a U-shape of four."""
        if self.family == "columnar":
            return (0,) * len(self.depths)
        return (*range(self.levels), *reversed(range(self.levels - 1)), 0)[: len(self.depths)]

    @property
    def size_multiple(self) -> int:
        """The image is padded to a multiple of this before the body."""
        return 2 ** (self.levels - 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values; inverse of :meth:`from_dict`."""
        values = {**asdict(self), "depths": list(self.depths)}
        # Absent like in the files that were written before there was any.
        caution = values.pop("caution")
        return values if caution is None else {**values, "caution": list(caution)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Raises ValueError for unknown, missing or invalid fields."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown model field {', '.join(unknown):.200}; known fields: {', '.join(known)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"model configuration is incomplete or mistyped: {error}") from error


def check_k(k: int, window_size: int) -> None:
    """Raises ValueError unless k is a whole number (NumPy's too) with 1 <= k <= window_size**2."""
    if isinstance(k, bool) or not isinstance(k, int | Integral):
        raise ValueError(f"k must be a whole number, got {k!r:.40}")
    if not 1 <= k <= window_size**2:
        raise ValueError(
            f"k is {k}, but a window of {window_size} x {window_size} tokens allows 1 to {window_size**2} keys"
        )


def _caution(given: object) -> Caution | None:
    if given is None:
        return None
    if (
        not isinstance(given, list | tuple)
        or len(given) != len(Caution._fields)
        or any(isinstance(value, bool) or not isinstance(value, int | float) for value in given)
    ):
        raise ValueError(f"caution must be three numbers ({', '.join(Caution._fields)}) or null, got {given!r:.60}")
    caution = Caution(*map(float, given))
    caution.check()
    return caution


def _positive_int(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r:.40}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value!r:.40}")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r:.40}")
