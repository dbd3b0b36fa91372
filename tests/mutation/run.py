"""Alter the pure modules, one small slip at a time, and count how many the tests see: ``make mutants``.

    make mutants                                       # all groups of groups.py: an hour or two on two cores
    make mutants MUTANTS="order 'promotion and card'"  # some of them
    python -m tests.mutation.run order --survivors     # what lived in the last run, as differences

mutmut makes the slips; trial.py shows each to those tests that call the altered function, a second each on a machine
that has nothing else to do. What runs while modules are imported runs before any slip. Each group works in a copy of
the tree under ``build/mutants``, so a stopped run continues; what lived or hung is tried again, because a test may have
been added since, and what was seen stays seen until its function changes (remove ``build/mutants`` to start anew).
Texts of errors are left alone: a slip there spoils no result. What is no slip, because the altered code does the same,
stands in ``no_slips.toml`` with its reason, and is not counted. Of a group with more slips than an hour allows only a
share is tried (``every`` in groups.py), chosen by name, so always the same ones; the line says so.

Exit status: 0 every group reached the limit, 1 one did not, 2 bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.mutation.groups import GROUPS, Group

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/mutants"
NO_SLIPS = Path(__file__).with_name("no_slips.toml")
LIMIT = 0.80
COPIED = ("semanir", "pipeline", "jobs", "infra", "tests", "pyproject.toml", "README.md", "constraints.txt")
# The first steps of `mutmut run`, which has no command for them alone.
MAKE_SLIPS = (
    "from pathlib import Path; from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants; "
    "Path('mutants').mkdir(exist_ok=True); copy_src_dir(); copy_also_copy_files(); create_mutants(1)"
)
PYTEST = ("-q", "--tb=line", "-m", "not slow and not gpu", "-p", "no:cacheprovider")
LIVED = {0, 5, 33}  # the exit statuses of mutmut's test runs: all passed; no test was found; no test calls it
LEFT_OUT = 34  # on purpose: not in the sample
HUNG = {-24, -14}  # stopped at a time limit (SIGXCPU, SIGALRM)


@dataclass(frozen=True)
class Slip:
    """An alteration that no test saw.

    Attributes:
        name: mutmut's, such as ``pipeline.data.order.x_place__mutmut_3``.
        lines: removed and added lines of the function, with ``-`` and ``+``.
    """

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """What became of a group's slips.

    Attributes:
        seen: how many made a test fail, crash or hang.
        hung: how many of those hung; on a machine that is short of time a test may reach the limit by itself.
        lived: those that no test saw.
        excused: how many are no slips, according to ``no_slips.toml``.
        left: how many were not tried yet.
        left_out: how many are not in the sample.
    """

    seen: int
    hung: int
    lived: tuple[Slip, ...]
    excused: int
    left: int
    left_out: int

    @property
    def share(self) -> float:
        """Of the slips that were seen, 0 to 1."""
        return self.seen / max(1, self.seen + len(self.lived))


def main(arguments: list[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"some of: {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="slips tried at once (default: CPUs)")
    parser.add_argument("--every", type=int, help="try one slip in so many (default: as groups.py says)")
    parser.add_argument("--survivors", action="store_true", help="show what lived in the last run, and run nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are: {', '.join(GROUPS)}")
    missed = False
    for name in options.groups or GROUPS:
        folder = BUILD / name.replace(" ", "_")
        if not options.survivors:
            prepare(folder, GROUPS[name])
            sample(folder, GROUPS[name], options.every or GROUPS[name].every)
            try_slips(folder, GROUPS[name], options.processes)
        score = read(folder)
        if options.survivors:
            for slip in score.lived:
                print(slip.name, *slip.lines, sep="\n  ")
        tried = score.seen + len(score.lived)
        line = f"{name}: {score.seen} of {tried} slips seen, {score.share:.1%} ({score.hung} of them hung); "
        left = f"; {score.left} not tried yet" if score.left else ""
        left += f"; a sample: {score.left_out} others were left out" if score.left_out else ""
        print(f"{line}{score.excused} are no slips{left}", flush=True)
        missed |= score.share < LIMIT or bool(score.left)
    return 1 if missed else 0


def prepare(folder: Path, group: Group) -> None:
    """Copy the tree there, and tell mutmut what to alter; what is unchanged keeps its results."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    settings = {
        "source_paths": ["semanir", "pipeline"],
        "only_mutate": [module if module.endswith(".py") else f"{module}/*" for module in group.modules],
        "do_not_mutate": list(group.without),
        "do_not_mutate_patterns": [r"^\s*raise "],
        "also_copy": [name for name in COPIED if name not in ("semanir", "pipeline", "tests", "pyproject.toml")],
        "track_dependencies": False,
    }
    lines = ["", "[tool.mutmut]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items()), ""]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines))


def sample(folder: Path, group: Group, every: int) -> None:
    """Make the slips, and leave to be tried: one in ``every``, but for those that were seen before.

    What lived or hung is tried again, by the tests as they are now; modules that left the group are forgotten.
    """
    subprocess.run([sys.executable, "-c", MAKE_SLIPS], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    for file in (folder / "mutants").rglob("*.meta"):
        module = file.relative_to(folder / "mutants").with_suffix("").as_posix()
        if any(fnmatch(module, pattern) for pattern in group.without):
            file.unlink()
            continue
        record = json.loads(file.read_text(encoding="utf-8"))
        known = record["exit_code_by_key"]
        for name, status in known.items():
            if zlib.crc32(name.encode()) % every:
                known[name] = LEFT_OUT
            elif status in LIVED | HUNG | {LEFT_OUT}:
                known[name] = None
        file.write_text(json.dumps(record, indent=4), encoding="utf-8")


def try_slips(folder: Path, group: Group, processes: int) -> None:
    """Run the group's tests for each slip to be tried; the log says which tests saw it."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutation.trial", f"--processes={processes}", *PYTEST]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w", encoding="utf-8") as log:
        others = (f"--{'deselect' if '::' in test else 'ignore'}={test}" for test in group.other_tests)
        command += [*group.tests, *others]
        subprocess.run(command, cwd=folder / "mutants", env=environment, stdout=log, check=True)


def read(folder: Path) -> Score:
    """The results that mutmut left in a group's folder."""
    seen = hung = left = left_out = 0
    lived = []
    for file in sorted((folder / "mutants").rglob("*.meta")):
        for name, status in json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            if status == LEFT_OUT:
                left_out += 1
            elif status is None:
                left += 1
            elif status in LIVED:
                lived.append(Slip(name, altered_lines(folder, name)))
            else:
                seen += 1
                hung += status in HUNG
    rules = no_slips()
    real = [slip for slip in lived if not any(excuses(rule, slip) for rule in rules)]
    return Score(seen, hung, tuple(real), len(lived) - len(real), left, left_out)


def no_slips() -> list[dict[str, str]]:
    """The entries of ``no_slips.toml``."""
    entries: list[dict[str, str]] = tomllib.loads(NO_SLIPS.read_text(encoding="utf-8")).get("no_slip", [])
    return entries


def excuses(rule: dict[str, str], slip: Slip) -> bool:
    """Whether an entry of ``no_slips.toml`` (``where``, ``was``, ``becomes``, ``why``) speaks of this slip."""
    removed, added = ("\n".join(line[1:].strip() for line in slip.lines if line[0] == sign) for sign in "-+")
    was = re.search(rule.get("was", ""), removed)
    return fnmatch(slip.name, rule["where"]) and bool(was and re.search(rule["becomes"], added))


def altered_lines(folder: Path, name: str) -> tuple[str, ...]:
    """The lines that a slip removes and adds."""
    from mutmut.configuration import reset_config
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    with contextlib.chdir(folder):
        reset_config()
        lines = get_diff_for_mutant(name).splitlines()
    return tuple(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


if __name__ == "__main__":
    sys.exit(main())
