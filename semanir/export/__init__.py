"""A model as one ONNX file with dynamic batch, height, width and k; needs the package ``onnx``.

The network is written a second time here, in ONNX's operators, from the same modules and parameters: what a tracer
makes of Python's window plan would hold for one size only. Tests compare the two on sizes of every kind.
"""

from semanir.export.file import read_onnx_metadata, to_onnx

__all__ = ["read_onnx_metadata", "to_onnx"]
