"""Hosts with addresses of their own on one machine: network namespaces on a bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INTERFACE = "eth0"  # as containers call it


@dataclass(frozen=True)
class Host:
    """Where a command runs: behind ``prefix``, at ``address``."""

    name: str
    address: str
    prefix: tuple[str, ...] = ()

    def command(self, argv: Sequence[str]) -> list[str]:
        return [*self.prefix, *argv]

    def without_folders(self, folders: Sequence[Path], argv: Sequence[str]) -> list[str]:
        """The command with ``folders`` empty in its eyes: `ip netns exec` gives it mounts of its own."""
        assert self.prefix, "only a namespace has mounts of its own"
        hide = "".join(f"mount -t tmpfs hidden '{folder}' && " for folder in folders)
        return self.command(["sh", "-c", f'{hide}exec "$@"', "sh", *argv])


LOOPBACK = Host("here", "127.0.0.1")


class Network:
    """A bridge in this namespace, and hosts that hang on it by one virtual cable each."""

    def __init__(self) -> None:
        self._id = os.getpid() % 46656
        self._bridge = f"smr{self._id}"
        self._subnet = f"10.{200 + self._id % 50}.{self._id % 250}"
        self._hosts: list[str] = []
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self._subnet}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def add(self, name: str) -> Host:
        """A new host, connected."""
        space, cable = f"{self._bridge}-{name}", f"{self._bridge}{chr(97 + len(self._hosts))}"
        address = f"{self._subnet}.{10 + len(self._hosts)}"
        _ip("netns", "add", space)
        self._hosts.append(name)
        _ip("link", "add", cable, "type", "veth", "peer", "name", INTERFACE, "netns", space)
        _ip("link", "set", cable, "master", self._bridge, "up")
        for command in (
            ("addr", "add", f"{address}/24", "dev", INTERFACE),
            ("link", "set", INTERFACE, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", space, *command)
        return Host(name, address, ("ip", "netns", "exec", space))

    def cut(self, host: Host) -> None:
        """Pull the host's cable."""
        _ip("link", "set", self._cable(host), "down")

    def mend(self, host: Host) -> None:
        _ip("link", "set", self._cable(host), "up")

    def _cable(self, host: Host) -> str:
        return f"{self._bridge}{chr(97 + self._hosts.index(host.name))}"

    def host_of(self, pid: int) -> str | None:
        """The name of the host that a process runs on."""
        try:
            space = os.stat(f"/proc/{pid}/ns/net").st_ino
        except OSError:
            return None
        named = {os.stat(f"/run/netns/{self._bridge}-{name}").st_ino: name for name in self._hosts}
        return named.get(space)

    def remove(self) -> None:
        """Raises RuntimeError when a process still ran on a host: whoever started it was to end it."""
        left = {name: pids for name in self._hosts if (pids := _ip("netns", "pids", f"{self._bridge}-{name}").split())}
        for name in self._hosts:
            _ip("netns", "del", f"{self._bridge}-{name}")
        _ip("link", "del", self._bridge)
        if left:
            raise RuntimeError(f"processes left on the hosts: {left}")


def why_impossible() -> str | None:
    """What keeps this machine from having such hosts; None when nothing does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command `ip` is missing: apt-get install iproute2"
    name = f"smr-probe-{os.getpid()}"
    probe = (
        f"ip netns add {name} && ip link add {name[4:15]} type veth peer name eth0 netns {name} && "
        f"ip netns exec {name} mount -t tmpfs hidden /mnt"
    )
    tried = subprocess.run(["sh", "-c", probe], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return f"no network namespace can be made here: {tried.stderr.strip()}" if tried.returncode else None


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
