"""Restoring for many: whole folders and buckets with Ray Data."""
