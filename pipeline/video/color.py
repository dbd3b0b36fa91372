"""From a decoded frame to the RGB levels that models take, and back, by the file's own color tags."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from pipeline.errors import UserError
from pipeline.restoring.picture import Picture, from_levels, to_levels

RGB = "rgb48le"  # 16 bits a channel: rounding twice, in RGB and in YUV, changes no level of 8 or 10 bits
# Of ISO/IEC 23091-2, table 4 (matrix coefficients) -> swscale's number for the same. 2: the file does not say.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
_UNSAID, _IDENTITY = 2, 0
_HDR_CURVES = (16, 18)  # ibid., table 3: PQ and HLG
_HD_HEIGHT = 720  # frames from this height on that do not name their matrix are taken for BT.709, as players do
_FLAGS = int(
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)


@dataclass(frozen=True)
class Color:
    """A file's color tags, by the numbers of ISO/IEC 23091-2; ``span``: 1 limited range, 2 full, 0 it does not say.

    height: of the clip's frames, by which a matrix is assumed where none is named.
    """

    matrix: int
    span: int
    primaries: int
    transfer: int
    height: int

    @property
    def coefficients(self) -> int:
        """The matrix by swscale's number; where the file names none, the one that players take."""
        return _MATRICES.get(self.matrix, _MATRICES[1] if self.height >= _HD_HEIGHT else _MATRICES[6])

    @property
    def is_hdr(self) -> bool:
        """Whether its levels stand for the brightness of an HDR display."""
        return self.transfer in _HDR_CURVES


def color_of(frame: av.VideoFrame, stream: av.VideoStream) -> Color:
    """What a decoded frame says of its colors, and where it is silent, what its file does."""

    def said(name: str, silent: int) -> int:
        own = int(getattr(frame, name))
        return int(getattr(stream, name)) if own == silent else own

    return Color(
        said("colorspace", _UNSAID),
        said("color_range", 0),
        said("color_primaries", _UNSAID),
        said("color_trc", _UNSAID),
        frame.height,
    )


def check_format(name: str) -> None:
    """Raises UserError for samples that are not restored: transparent ones, and such that are on a device."""
    form = av.VideoFormat(name)
    if any(component.is_alpha for component in form.components):
        raise UserError(f"transparent videos ({name}) are not supported; put it on a background first")
    if not form.components or form.is_bayer or max(component.bits for component in form.components) > 16:
        raise UserError(f"samples of kind {name} are not supported; convert it to 8, 10 or 12 bits YUV")


def check_color(color: Color, pixel_format: str) -> None:
    """Raises UserError for colors that are not a plain product with a matrix."""
    if color.matrix not in _MATRICES and color.matrix not in (_UNSAID, _IDENTITY):
        raise UserError(
            f"its colors are coded by a matrix that is not supported (number {color.matrix} of ISO/IEC 23091-2); "
            "convert it to BT.709 first"
        )
    if color.matrix == _IDENTITY and not av.VideoFormat(pixel_format).is_rgb:
        raise UserError(f"it says that its samples are RGB, and they are {pixel_format}; convert it to BT.709 first")


def to_picture(frame: av.VideoFrame, color: Color) -> Picture:
    """The frame's RGB, 16 bits a channel."""
    shown = frame.reformat(
        format=RGB,
        src_colorspace=color.coefficients,
        src_color_range=_range(frame.format.name, color),
        dst_color_range=ColorRange.JPEG,
        interpolation=_FLAGS,
    )
    pixels, _ = from_levels(shown.to_ndarray().astype(np.uint16, copy=False))
    return Picture(pixels=pixels, alpha=None, bits=16, file_format="PNG", stored=pixels.shape[:2])


def to_frame(picture: Picture, pixel_format: str, color: Color) -> av.VideoFrame:
    """The picture's samples in ``pixel_format``, with the clip's color tags."""
    levels = to_levels(picture).astype(np.uint16, copy=False)
    colored = np.repeat(levels[:, :, None], 3, axis=2) if levels.ndim == 2 else levels
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(colored), format=RGB).reformat(
        format=pixel_format,
        dst_colorspace=color.coefficients,
        src_color_range=ColorRange.JPEG,
        dst_color_range=_range(pixel_format, color),
        interpolation=_FLAGS,
    )
    made.colorspace, made.color_range = color.matrix, color.span
    made.color_primaries, made.color_trc = color.primaries, color.transfer
    return made


def _range(pixel_format: str, color: Color) -> ColorRange:
    full = color.span == ColorRange.JPEG or pixel_format.startswith("yuvj") or av.VideoFormat(pixel_format).is_rgb
    return ColorRange.JPEG if full else ColorRange.MPEG
