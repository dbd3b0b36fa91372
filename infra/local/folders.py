"""Where the embedded stack keeps its files: everything under one folder that only its user can read."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
BUCKET = "semanir"
# Of 107 bytes the link's name takes up to 29, and what Ray puts below it 65:
# /ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store
_LONGEST_PARENT = 12


class StackError(Exception):
    """The stack cannot do what was asked; the message is for a person to read."""


@dataclass(frozen=True)
class Layout:
    """Paths of one stack. Two stacks in two folders never touch each other."""

    folder: Path

    @classmethod
    def at(cls, folder: str | os.PathLike[str] | None = None) -> Layout:
        """The stack in `folder`, else in $SEMANIR_STACK_DIR, else in `.stack` of the project."""
        chosen = folder or os.environ.get("SEMANIR_STACK_DIR") or PROJECT_ROOT / ".stack"
        return cls(Path(chosen).absolute())

    @property
    def env_file(self) -> Path:
        return self.folder / "env"

    @property
    def ports_file(self) -> Path:
        return self.folder / "ports.json"

    @property
    def s3_identities(self) -> Path:
        return self.folder / "s3.json"

    @property
    def ray_token(self) -> Path:
        return self.folder / "ray_token"

    @property
    def mlflow_login(self) -> Path:
        return self.folder / "mlflow_login.json"

    @property
    def mlflow_auth(self) -> Path:
        return self.folder / "mlflow_auth.ini"

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def s3_data(self) -> Path:
        return self.folder / "s3"

    @property
    def mlflow_data(self) -> Path:
        return self.folder / "mlflow"

    @property
    def ray_data(self) -> Path:
        return self.folder / "ray"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def came_up(self, part: str) -> Path:
        return self.folder / f"{part}.up"

    def create(self) -> None:
        """Make the folders; the top one is closed to everybody else, whatever the umask."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for path in (self.s3_data, self.mlflow_data, self.ray_data, self.logs):
            path.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the stack for one `up` or `down`; the kernel lets go when the process dies."""
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def short_path(self) -> Path:
        """A short name of the folder, for Unix sockets (a socket's path has at most 107 bytes).

        It is a link in the temporary folder, or in /tmp where that has too long a name, named by a digest
        of the folder's path.

        Raises:
            StackError: somebody else holds that name.
        """
        link = self._short_link
        if self._owns_short_link() and link.readlink() == self.folder:
            return link
        self.forget_short_path()
        try:
            link.symlink_to(self.folder)
        except FileExistsError:
            raise StackError(f"{link} is in the way and is not ours: remove it, or set a short TMPDIR") from None
        return link

    @property
    def _short_link(self) -> Path:
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]
        parent = tempfile.gettempdir()
        if len(os.fsencode(parent)) > _LONGEST_PARENT:
            parent = "/tmp"
        return Path(parent) / f"semanir-{os.getuid()}-{digest}"

    def _owns_short_link(self) -> bool:
        return self._short_link.is_symlink() and self._short_link.lstat().st_uid == os.getuid()

    def forget_short_path(self) -> None:
        """Remove the link of `short_path`, if it is ours."""
        if self._owns_short_link():
            self._short_link.unlink()


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step by a file that only the user can read."""
    partial = path.with_name(path.name + ".partial")
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
