"""A cluster of one process alone, where the machine is so busy that Ray's node is not there in time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import psutil, ray
    from pipeline.own_cluster import own_cluster
    from pipeline.ray_internals import services

    waits = services.get_node

    def too_late(*args, **kwargs):
        services.get_node = waits
        raise Exception("The current node timed out during startup.")

    def nodes():
        return sum(process.name().startswith("raylet") for process in psutil.Process().children(recursive=True))

    services.get_node = too_late
    with own_cluster(1):
        print(nodes(), int(ray.cluster_resources()["CPU"]), services.get_node is waits)
    print(nodes())
"""


@pytest.mark.slow  # two starts of Ray, a quarter of a minute
def test_a_start_that_came_too_late_leaves_nothing_behind() -> None:
    # The program imports Ray first, and Ray asks for a token or does not from then on.
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], env=os.environ | {"RAY_AUTH_MODE": "token"},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "1", "True", "0"]
