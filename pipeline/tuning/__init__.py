"""Sweeps: Ray Tune over dotted configuration paths, every trial a training run like any other."""
