"""A restoring run in a process and a cluster of its own: ``python restore_run.py SOURCE OUTPUT MODEL``."""

from __future__ import annotations

import sys

from pipeline.own_cluster import own_cluster
from pipeline.serving.batch.on_ray import Request, restore_on_ray

if __name__ == "__main__":
    with own_cluster(2):
        source, output, model = sys.argv[1:]
        sys.exit(restore_on_ray(Request(source=source, output=output, model=model, k=3)))
