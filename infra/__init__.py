"""What the pipeline runs on. Imports nothing of `semanir` or `pipeline`."""
