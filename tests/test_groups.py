"""`make test` in several processes: the groups that conftest gives are those that xdist hands out."""

from __future__ import annotations

import os

import pytest


def test_a_test_of_this_file_is_in_the_group_of_this_file(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("xdist_group")
    assert marker is not None
    assert marker.args == ("tests/test_groups.py",)
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@tests/test_groups.py")
