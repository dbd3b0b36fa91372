"""A pytest plugin that tries slips: tests are imported and collected once, and each slip has a process forked there.

So a slip takes as long as the tests that call the altered function, quickest first, until one fails. Which tests call
which function, and for how long, is measured in a process of its own: nothing has run where the slips start.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hypothesis
import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name

LIVED, SEEN, UNTESTED = 0, 1, 33  # as mutmut numbers them
LONGER_S, TIMES_LONGER = 10, 15  # a slip hangs when its tests take so much more CPU time than without it
WAITING = 20  # and when they last so many times as long as that
MEMORY_BYTES = 4 * 2**30  # what tests may take beyond what is there when they start
EXAMPLES = 30  # of a property: those that do not see a slip by then seldom do later, and a slip that lives runs all
SETTINGS = "_hypothesis_internal_use_settings"  # where Hypothesis keeps a test's own; a private name
CALLS = "calls.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many slips are tried at once."""
    parser.addoption("--processes", type=int, default=1)


def pytest_configure(config: pytest.Config) -> None:
    """A failing example is enough: to find the smallest takes hundreds of times as long."""
    config.option.durations = None  # the slowest tests of each slip are nobody's question
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutation", hypothesis.settings.get_profile("reproducible"), phases=phases)
    hypothesis.settings.load_profile("mutation")


def pytest_itemcollected(item: pytest.Item) -> None:
    """No property tries more than some examples, whatever its test says."""
    test = getattr(item, "function", None)
    if chosen := getattr(test, SETTINGS, None):
        setattr(test, SETTINGS, hypothesis.settings(chosen, max_examples=min(EXAMPLES, chosen.max_examples)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Try each slip that has no result yet, and write into mutmut's records what became of it."""
    if session.testsfailed:
        raise session.Interrupted("the tests cannot be collected")
    _, status = os.waitpid(fork(partial(measure, session)), 0)
    if status:
        raise session.Interrupted("the tests fail without any slip")
    found = json.loads(Path(CALLS).read_text(encoding="utf-8"))
    for module in found["modules"]:
        with contextlib.suppress(Exception):  # what cannot be imported alone, a slip's process imports by itself
            importlib.import_module(module)
    gc.freeze()
    items = {item.nodeid: item for item in session.items}
    slips = [(record, name) for record in records() for name, status in record.statuses.items() if status is None]
    seconds = {name: sum(found["calls"].get(function(name), {}).values()) for _, name in slips}
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    running: dict[int, tuple[Record, str, tempfile.TemporaryDirectory[str]]] = {}

    def note_one() -> None:
        pid, status = os.wait()
        record, name, folder = running.pop(pid)
        record.note(name, os.waitstatus_to_exitcode(status))
        folder.cleanup()

    for record, name in sorted(slips, key=lambda slip: seconds[slip[1]]):
        calls = found["calls"].get(function(name), {})
        if not calls:
            record.note(name, UNTESTED)
            continue
        if len(running) == session.config.getoption("processes"):
            note_one()
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        chosen = [items[test] for test in sorted(calls, key=lambda test: float(calls[test]))]
        reporter.write_line(f"\n{name}: {len(chosen)} tests, {seconds[name]:.1f} s")
        running[fork(partial(attempt, session, name, chosen, seconds[name], folder.name))] = record, name, folder
    while running:
        note_one()
    return True


def function(slip: str) -> str:
    """mutmut's name of the function that a slip alters."""
    return mangled_name_from_mutant_name(slip)


class Record:
    """mutmut's file about one module's slips."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = json.loads(path.read_text(encoding="utf-8"))
        self.statuses: dict[str, int | None] = self.content["exit_code_by_key"]

    def note(self, slip: str, status: int) -> None:
        """Write down what became of a slip."""
        self.statuses[slip] = status
        self.path.write_text(json.dumps(self.content, indent=4), encoding="utf-8")


def records() -> list[Record]:
    """One for each altered module."""
    return [Record(path) for path in sorted(Path.cwd().rglob("*.meta"))]


def fork(work: Callable[[], int]) -> int:
    """Start ``work`` in a process of its own, which ends with the status that it returns; gives the process's id."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    status = SEEN
    try:
        status = work()
    except BaseException:  # whatever a slip raises out of a test
        traceback.print_exc(file=sys.stdout)
    finally:
        sys.stdout.flush()
        os._exit(status)


def run_tests(session: pytest.Session, items: list[pytest.Item], after: Callable[[pytest.Item], None]) -> int:
    """Run tests until one fails, then take down all that they set up: LIVED or SEEN."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        after(item)
        if session.testsfailed:
            break
    session.config.hook.pytest_sessionfinish(session=session, exitstatus=session.testsfailed)
    return SEEN if session.testsfailed else LIVED


def measure(session: pytest.Session) -> int:
    """Write down which tests call which function, their CPU seconds, and which modules were imported on the way."""
    calls: dict[str, dict[str, float]] = {}
    before, noted = set(sys.modules), time.process_time()

    def note(item: pytest.Item) -> None:
        nonlocal noted
        for called in state()._stats:
            calls.setdefault(called, {})[item.nodeid] = time.process_time() - noted
        state()._stats.clear()
        noted = time.process_time()

    bound_memory()
    set_mutant_under_test("stats")
    status = run_tests(session, session.items, note)
    modules = [name for name in sys.modules if name not in before]
    Path(CALLS).write_text(json.dumps({"calls": calls, "modules": modules}, indent=1), encoding="utf-8")
    return status


def attempt(session: pytest.Session, slip: str, items: list[pytest.Item], seconds: float, folder: str) -> int:
    """Run tests with a slip, within its share of time and memory."""
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder  # where pytest makes its temporary folders
    limit = round(LONGER_S + TIMES_LONGER * seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    signal.setitimer(signal.ITIMER_REAL, WAITING * limit)
    bound_memory()
    set_mutant_under_test(slip)
    return run_tests(session, items, lambda item: None)


def bound_memory() -> None:
    """Let this process take so much more memory and no more: a slip may ask for a terabyte."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
