"""Bicubic enlargement by a whole factor, as :func:`semanir.imresize`, in one convolution and a depth-to-space."""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.export.graph import Graph, Value
from semanir.resize import imresize

# The cubic kernel reaches two pixels to either side of a point that lies less than half a pixel off a center.
_REACH = 2


def enlarge(graph: Graph, image: Value, factor: int) -> Value:
    """(B, C, H, W) -> (B, C, H * factor, W * factor), symmetric edges."""
    height, width = graph.size(image, 2), graph.size(image, 3)
    channels = graph.size(image, 1)
    padded = image
    for axis, size in ((2, height), (3, width)):
        # Symmetric edges: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ..., bouncing as often as a small image needs.
        index = (graph.arange(size + 2 * _REACH) + size * (2 * _REACH) - _REACH) % (size * 2)
        padded = graph.take(padded, graph.where(size > index, index, size * 2 - 1 - index), axis)
    planes = graph.reshape(padded, -1, 1, height + 2 * _REACH, width + 2 * _REACH)
    phases = graph.op("Conv", planes, graph.weight("bicubic", phase_kernels(factor)))
    enlarged = graph.op("DepthToSpace", phases, blocksize=factor, mode="CRD")
    return graph.reshape(enlarged, -1, channels, height * factor, width * factor)


def phase_kernels(factor: int) -> Tensor:
    """(factor**2, 1, 5, 5): how each of the factor x factor output pixels weighs the input around its own pixel.

    Read off the response of :func:`semanir.imresize` to one bright pixel in the middle, so that there is one owner
    of the kernel.
    """
    side = 2 * _REACH + 1
    spot = torch.zeros(1, 1, 2 * side - 1, 2 * side - 1, dtype=torch.float64)
    spot[..., side - 1, side - 1] = 1
    size = spot.shape[-1] * factor
    response = imresize(spot, size, size).reshape(2 * side - 1, factor, 2 * side - 1, factor)
    near = response[side - 1 - _REACH : side + _REACH, :, side - 1 - _REACH : side + _REACH]
    # The response says where a pixel goes; the kernel says where a pixel comes from: the mirror image.
    return near.flip(0, 2).permute(1, 3, 0, 2).reshape(factor**2, 1, side, side)
