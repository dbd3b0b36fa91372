"""The store of a run's workers listens at the address that they are told, and nowhere else."""

from __future__ import annotations

import ipaddress
import subprocess
import sys

import pytest

MEETS = """
import os, sys, psutil, torch, torch.distributed as dist
from pipeline.training.rendezvous import listen_where_told

if sys.argv[1] == "told":
    listen_where_told()
    listen_where_told()
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
os.environ["MASTER_ADDR"] = sys.argv[2]
for _ in range(2):  # as a group that is formed anew after a fault
    from socket import create_server
    with create_server(("127.0.0.1", 0)) as probe:
        os.environ["MASTER_PORT"] = str(probe.getsockname()[1])
    dist.init_process_group("gloo", init_method="env://", rank=0, world_size=1)
    dist.all_reduce(torch.ones(1))
    print(*{c.laddr.ip for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN})
    dist.destroy_process_group()
"""


def interfaces(*words: str) -> list[set[str]]:
    done = subprocess.run([sys.executable, "-c", MEETS, *words], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines() if "[Gloo]" not in line]


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_it_listens_on_loopback_alone_where_that_was_told(address: str) -> None:
    first, second = interfaces("told", address)
    assert first == second
    assert first
    assert all(ipaddress.ip_address(one).is_loopback for one in first)


def test_torch_alone_listens_everywhere() -> None:
    """Once this fails, torch does it by itself, and the module can go."""
    assert any(one & {"::", "0.0.0.0"} for one in interfaces("alone", "127.0.0.1"))
