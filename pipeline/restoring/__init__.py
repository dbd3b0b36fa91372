"""Restoring people's image files with a model folder."""
