"""Whole folders, S3 prefixes and packed data sets, restored by the workers of a Ray cluster."""
