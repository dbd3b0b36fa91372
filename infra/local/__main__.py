"""Start, stop or look at the embedded stack: python -m infra.local [--dir DIR] up|down|status"""

from __future__ import annotations

import argparse
import shlex
import sys

from infra.local import lifecycle
from infra.local.folders import Layout, StackError


def given(text: str) -> str:
    """What was given; raises ArgumentTypeError for nothing, which would mean another stack, or every job."""
    if not text:
        raise argparse.ArgumentTypeError("an empty value; give one")
    return text


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 as asked, 1 when a part is not up, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("--dir", type=given, help="the stack's folder (default: $SEMANIR_STACK_DIR, else .stack)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what is not running")
    commands.add_parser("down", help="stop all that was started; data stays")
    commands.add_parser("status", help="show what runs, and where")
    stop_jobs = commands.add_parser("stop-jobs", help="stop unfinished jobs of the embedded Ray")
    stop_jobs.add_argument("prefix", type=given, help="start of their submission ids")
    options = parser.parse_args(arguments)
    layout = Layout.at(options.dir)

    def say(line: str) -> None:
        print(line, flush=True)

    try:
        if options.command == "up":
            lifecycle.up(layout, say)
            say(f"Use it in a shell with:  . {shlex.quote(str(layout.env_file))}")
            say("Register the models that come with the package, there:  semanir models publish")
        elif options.command == "down":
            lifecycle.down(layout, say)
        elif options.command == "stop-jobs":
            lifecycle.stop_jobs(layout, options.prefix, say)
        elif not lifecycle.status(layout, say):
            return 1
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
