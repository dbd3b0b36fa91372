"""A model as one file for other programs: ONNX with dynamic batch, height, width and k (needs the package ``onnx``), or
safetensors for programs built on spandrel.

For ONNX the network is written a second time here, in ONNX's operators, from the same modules and parameters: what a
tracer makes of Python's window plan would hold for one size only. Tests compare the two on sizes of every kind.
"""

from semanir.export.file import read_onnx_metadata, to_onnx
from semanir.export.spandrel import read_spandrel, to_spandrel

__all__ = ["read_onnx_metadata", "read_spandrel", "to_onnx", "to_spandrel"]
