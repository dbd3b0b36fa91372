"""What the pipeline runs on: the embedded stack of one machine. Imports nothing of `semanir` or `pipeline`."""
