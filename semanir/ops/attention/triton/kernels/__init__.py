"""The GPU kernels, one per file; importing them imports Triton."""
