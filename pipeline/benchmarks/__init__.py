"""Measurements with their provenance: one module per sub-command of ``jobs/benchmark.py``."""
