"""One writer at a time: a small file that says who writes here, and that it still does.

Held in a folder as ``lease/000007.json``; the highest number counts. Taking over makes the next number with a write
that succeeds only if there is none yet, so of two that try one wins, on disk and on S3 alike. No clock of one machine
is compared with another's: a second writer *watches* whether the owner's sign of life moves.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import UserError
from pipeline.storage.base import Storage, StorageUnavailable
from pipeline.storage.open_store import open_storage

log = logging.getLogger(__name__)

FOLDER = "lease/"
BEAT_S = 3.0  # between signs of life
TERM_S = 20.0  # without one, the owner is dead
MAX_BYTES = 65_536
MAX_ROUNDS = 1_000


@dataclass(frozen=True)
class Owner:
    """Who holds a lease. process: names it on its machine for good, "" elsewhere; beat: counts signs of life."""

    name: str
    since: str
    nonce: str
    process: str = ""
    beat: int = 0
    released: bool = False
    reason: str = ""  # why it was taken from a living owner

    def __str__(self) -> str:
        return f"{self.name} since {self.since}"


_UNREADABLE = Owner("an unreadable lease", "an unknown time", "")  # it is waited out like any other


class HeldElsewhere(UserError):
    """Another writer is at work here."""


@dataclass(frozen=True)
class Pass:
    """A lease on its way to other processes, which write for its holder. uri: where it is held; what: in words."""

    uri: str
    what: str
    number: int

    def check(self, deadline_s: float | None = None) -> None:
        """Ask the store itself, before anything is written; raises HeldElsewhere when another writer took over."""
        taken = _later_owner(open_storage(self.uri, deadline_s), self.number)
        if taken is not None:
            raise _lost(self.what, taken)


class Lease:
    """What :func:`sole_writer` hands out."""

    def __init__(self, storage: Storage, what: str, number: int, owner: Owner) -> None:
        self._storage, self._what, self._number, self._owner = storage, what, number, owner
        self._over = threading.Event()
        self._taken: Owner | None = None
        self._thread = threading.Thread(target=self._live, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise HeldElsewhere when another writer took over: nothing may be written any more."""
        if self._taken is not None:
            raise _lost(self._what, self._taken)

    def to_pass_on(self) -> Pass:
        """The lease for the processes that write for this one."""
        uri = self._storage.uri
        return Pass(uri if "://" in uri else os.path.abspath(uri), self._what, self._number)

    def _live(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                if self._look() is not None:
                    return
                self._owner = replace(self._owner, beat=self._owner.beat + 1)
                self._storage.write(_key(self._number), _encode(self._owner))
            except Exception as error:
                log.warning("lease of %s: no sign of life could be left (%s)", self._what, error)

    def _look(self) -> Owner | None:
        self._taken = _later_owner(self._storage, self._number)
        return self._taken

    def release(self) -> None:
        """Let the next writer in at once."""
        self._over.set()
        self._thread.join()
        if self._taken is None:
            self._storage.write(_key(self._number), _encode(replace(self._owner, released=True)))


def _later_owner(storage: Storage, number: int) -> Owner | None:
    """Who took over from the lease ``number``, if anybody did."""
    latest = max(_numbers(storage), default=0)
    if latest <= number:
        return None
    return _read(storage, latest) or Owner("another writer", "just now", "")


def _lost(what: str, taken: Owner) -> HeldElsewhere:
    return HeldElsewhere(
        f"{what} was taken over by {taken} (its reason: {taken.reason or 'no sign of life'}); this one stops"
    )


@contextmanager
def sole_writer(uri: str, what: str, force: str = "", deadline_s: float | None = None) -> Iterator[Lease]:
    """Be the only writer at ``uri`` inside the block.

    A dead owner's lease is taken over: at once when it ran on this machine, else after ``TERM_S`` seconds without a
    sign of life. ``force``: the reason why a living owner is to lose it.

    Raises:
        HeldElsewhere: another writer is alive; the line names it.
    """
    lease = take(open_storage(uri, deadline_s), what, force)
    try:
        yield lease
    except BaseException as error:
        try:
            lease.release()
        except (StorageUnavailable, OSError) as failure:  # the block's own error is the one to hear of
            error.add_note(f"its lease could not be given back ({failure}); it ends by itself after {TERM_S:g} s")
        raise
    lease.release()


def is_held(uri: str, deadline_s: float | None = None, pause: Callable[[float], None] = time.sleep) -> bool:
    """Whether somebody writes at ``uri``; for an owner on another machine this watches for up to ``TERM_S`` seconds."""
    storage = open_storage(uri, deadline_s)
    latest = max(_numbers(storage), default=0)
    owner = _read(storage, latest) if latest else None
    if owner is None or owner.released or _died_here(owner):
        return False
    try:
        _wait_for_death(storage, latest, owner, uri, pause)
    except HeldElsewhere:
        return True
    return False


def take(storage: Storage, what: str, force: str = "", pause: Callable[[float], None] = time.sleep) -> Lease:
    """See :func:`sole_writer`; the lease is the caller's to release."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    own = Owner(_name(), now, uuid.uuid4().hex, _process(), reason=force)
    for _ in range(MAX_ROUNDS):
        numbers = sorted(_numbers(storage))
        latest = numbers[-1] if numbers else 0
        owner = _read(storage, latest) if latest else None
        if owner is not None and not owner.released and not _died_here(owner):
            if not force:
                _wait_for_death(storage, latest, owner, what, pause)
            else:
                log.warning("%s is taken from %s: %s", what, owner, force)
        try:
            storage.write(_key(latest + 1), _encode(own), only_if_absent=True)
        except FileExistsError:
            # Another was faster – or this very write, repeated after its answer was lost.
            found = _read(storage, latest + 1)
            if found is None or found.nonce != own.nonce:
                continue
        if max(_numbers(storage), default=0) > latest + 1:
            # Our listing was old: leases were taken, released and swept away since.
            storage.delete(_key(latest + 1))
            continue
        # The one before stays until the next is taken: a listing beside this one, which may miss what is made while it
        # runs, finds one of the two.
        for number in numbers[:-1]:
            storage.delete(_key(number))
        return Lease(storage, what, latest + 1, own)
    raise HeldElsewhere(f"{what}: its lease changes hands all the time; look for what starts it again and again")


def _wait_for_death(storage: Storage, number: int, owner: Owner, what: str, pause: Callable[[float], None]) -> None:
    """Return when ``owner`` gave no sign of life for TERM_S; raise HeldElsewhere as soon as it does."""
    alive = _lives_here(owner)
    waited = 0.0
    while not alive and waited < TERM_S:
        pause(BEAT_S / 3)
        waited += BEAT_S / 3
        found = _read(storage, number)
        if found is None or found.released:  # it ended, or another took over: look again
            return
        alive = found.beat != owner.beat
    if alive:
        raise HeldElsewhere(
            f"{what} is being written by {owner}: wait for it, or stop it; if it is lost for good, give --force REASON"
        )


def _numbers(storage: Storage) -> Iterator[int]:
    for entry in storage.list(FOLDER):
        stem = entry.key.removeprefix(FOLDER).removesuffix(".json")
        if stem.isdigit() and len(stem) < 12:
            yield int(stem)


def _key(number: int) -> str:
    return f"{FOLDER}{number:06d}.json"


def _encode(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode()


def _read(storage: Storage, number: int) -> Owner | None:
    try:
        data = storage.read_range(_key(number), 0, MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        owner = Owner(**json.loads(data))
        if all(type(value) is type(getattr(_UNREADABLE, name)) for name, value in asdict(owner).items()):
            return owner
    except (ValueError, TypeError, RecursionError):
        pass
    return _UNREADABLE


def _name() -> str:
    job = os.environ.get("RAY_JOB_ID") or os.environ.get("RAY_JOB_SUBMISSION_ID")
    return f"process {os.getpid()} on {socket.gethostname()}" + (f" (Ray job {job})" if job else "")


def _process(pid: int | str = "self") -> str:
    """This process, or another of this machine, named for good (pids are used again); "" when there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.stat(f"/proc/{pid}/ns/pid").st_ino
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        number = os.getpid() if pid == "self" else pid
        return "" if fields[0] == "Z" else f"{boot}/{space}/{number}/{fields[19]}"
    except (OSError, IndexError):
        return ""


def _here(owner: Owner) -> bool:
    """Whether the owner's process is, or was, one of those that this process can see."""
    ours = _process().split("/")
    return len(ours) == 4 and owner.process.split("/")[:2] == ours[:2]


def _lives_here(owner: Owner) -> bool:
    return _here(owner) and _process(owner.process.split("/")[2]) == owner.process


def _died_here(owner: Owner) -> bool:
    return _here(owner) and not _lives_here(owner)
