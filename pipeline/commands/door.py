"""How a command is called: its parser, its exit status, and one clear line instead of a traceback on bad input."""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import UserError
from pipeline.options import Parser
from pipeline.wording import escaped

# The folder that holds jobs/ and its configurations, in a clone and in an editable install.
ROOT = Path(__file__).resolve().parents[2]
BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130
EXIT_STATUS = """Exit status:
  0    done
  1    something of what was asked for failed; the command's own --help says what that means for it
  2    bad input, nothing was done
  130  stopped by ctrl-C; the same command goes on with what is left
  143  a training that was told to leave (SIGTERM), after saving; the same command continues it
"""
# What only `pip install '.[train]'` brings; the install without it restores images.
TRAIN_ONLY = {"boto3", "botocore", "deepspeed", "h5py", "matplotlib", "mlflow", "optuna", "psutil", "pyarrow", "ray"}
TRAIN_ONLY |= {"pywt", "skimage", "sklearn", "webdataset"}
SERVE_ONLY = {"fastapi", "prometheus_client", "python_multipart", "starlette", "uvicorn"}  # and '.[serve]'
VIDEO_ONLY = {"av"}  # and '.[video]'


class Command(Protocol):
    """What a module of this package offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command line."""

    def run(self, options: Any) -> int:
        """Do it; returns the exit status. Raises UserError on bad input."""


def fill(parser: argparse.ArgumentParser, command: Command, root: Path = ROOT) -> None:
    """Give a parser the command's arguments, and the folder in which its configurations lie."""
    command.add_arguments(parser)
    parser.set_defaults(command_module=command, root=root)


def run_alone(command: Command, arguments: Sequence[str] | None, root: Path = ROOT) -> int:
    """One command as a program of its own (``jobs/….py``); returns the exit status."""
    parser = Parser(
        description=command.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    fill(parser, command, root)
    return run_parser(parser, arguments)


def run_parser(parser: Parser, arguments: Sequence[str] | None) -> int:
    """Run the command that the parser chooses; bad input becomes one line on stderr and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal cannot show
    try:
        options = parser.parse_args(arguments)
        return int(options.command_module.run(options))
    except UserError as error:
        print(f"error: {escaped(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno is None:
            raise
        print(f"error: {escaped(of_the_system(error))}", file=sys.stderr)
        return FAILED
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extras = {"train": TRAIN_ONLY, "serve": SERVE_ONLY, "video": VIDEO_ONLY}
        extra = next((extra for extra, packages in extras.items() if package in packages), None)
        if extra is None:
            raise
        print(f"error: this needs the package {package}: pip install 'semanir-on-ray[{extra}]'", file=sys.stderr)
    return BAD_INPUT


def of_the_system(error: OSError) -> str:
    """What the operating system refused, in one line: which file, and why."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{' -> '.join(names)}: " if names else ""
    return f"{where}{error.strerror}" + (f" (temporary files lie in {tempfile.gettempdir()})" if not names else "")


def configuration(given: str | None, root: Path) -> Path:
    """The configuration file: the given one, or the first run's beside the code or under the working folder.

    Raises UserError when none was given and neither place has one (an install without ``jobs/``).
    """
    if given is not None:
        return Path(given)
    places = [folder / "jobs/configs/first_run.yaml" for folder in (root, Path.cwd())]
    for place in places:
        if place.is_file():
            return place
    raise UserError(f"no configuration: give --config FILE ({places[0]} is not there)")
