"""Restoring for many: whole folders and buckets with Ray Data, and a service with Ray Serve."""
