"""Servers with authentication on, shared by all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.infra.network import LOOPBACK, Network, why_impossible
from tests.infra.services import Services, start_services


@pytest.fixture(scope="session")
def network() -> Iterator[Network | None]:
    """Hosts on this machine; None where it cannot have them."""
    if why_impossible():
        yield None
        return
    made = Network()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def services(network: Network | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """S3 and MLflow, on a host of their own where that is possible, else on loopback."""
    with ExitStack() as stack:
        host = network.add("services") if network else LOOPBACK
        started = start_services(host, tmp_path_factory.mktemp("services"))
        stack.callback(started.stop)
        yield started
