#!/usr/bin/env python3
"""Runs the interop tests: Floodway in private networks of real routers.

A test is a function `test_…` of a file in cases/. The file names the network that its tests share in
`NETWORK` (arguments of `testnet.py up`), what Floodway is started with in `FLOODWAY`, and whether its
outcome decides in `GATING` (yes, unless it says no). A test takes `net`, and `floodway` when it wants the
one that its file shares; its attribute `seconds` limits it, `shards` says how many it needs, and one that is
`long` runs where there is time.
"""

import argparse
import importlib.util
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.insert(0, str(HERE))

from harness.network import Network                                    # noqa: E402
from testnet.install import installed                                  # noqa: E402

DEFAULT_SECONDS = 300
FLAG_OF_KIND = {"--i2pd": "i2pd", "--i2pd-mid": "i2pd-mid", "--i2pd-new": "i2pd-new",
                "--emissary": "emissary", "--java": "java"}


class Case:
    """One file of tests."""

    def __init__(self, path):
        spec = importlib.util.spec_from_file_location(f"cases_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.name = path.stem
        self.about = (module.__doc__ or "").strip().splitlines()[0]
        self.network = list(map(str, module.NETWORK))
        self.floodway = getattr(module, "FLOODWAY", {})
        self.gating = getattr(module, "GATING", True)
        self.tests = [(name, function) for name, function in vars(module).items()
                      if name.startswith("test_") and inspect.isfunction(function)]

    def patience(self):
        """How many seconds its longest test may take."""
        return max(getattr(function, "seconds", DEFAULT_SECONDS) for _, function in self.tests)

    def missing(self):
        """The kinds of peers that are wanted and not installed."""
        wanted = {FLAG_OF_KIND[a] for a in self.network if a in FLAG_OF_KIND}
        return sorted(kind for kind in wanted if not installed(kind))


class Report:
    """Counts and prints outcomes as they come."""

    def __init__(self):
        self.passed = self.failed = self.reported = 0

    def outcome(self, case, name, seconds, problem):
        word = "ok" if problem is None else "FAILED" if case.gating else "failed (not gating)"
        print(f"{case.name}.{name} ... {word} ({seconds:.1f} s)", flush=True)
        if problem is not None:
            print("    " + problem.strip().replace("\n", "\n    "), flush=True)
        if problem is None:
            self.passed += 1
        elif case.gating:
            self.failed += 1
        else:
            self.reported += 1


class OutOfTime(AssertionError):
    """A test took longer than it may."""


def limited(seconds, function, *arguments, **named):
    """Runs a function in at most so many seconds."""
    def ring(_signal, _frame):
        raise OutOfTime(f"no end after {seconds} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        return function(*arguments, **named)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told(problem):
    """An assertion in its own words and where it stands, anything else with its trace."""
    if isinstance(problem, AssertionError):
        frames = [f for f in traceback.extract_tb(problem.__traceback__)
                  if "/cases/" in f.filename]
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line})" \
            if frames else ""
        return f"{problem}{where}"
    return "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))


def evidence(net):
    """The end of Floodway's log and the peers' states."""
    parts = []
    for router in (r for r in net.routers if r.process or r.hash is None):
        parts.append(f"--- log of {router.slot} ---\n{router.log_tail()}")
        try:
            shown = router.metrics().show("sessions", "transit", "builds", "netdb", "drops",
                                          "dial", "publication", "shard_messages")
            parts.append(f"--- counters of {router.slot} ---\n{shown}")
        except (AssertionError, OSError) as problem:
            parts.append(f"--- no counters of {router.slot}: {str(problem)[-300:]}")
    try:
        parts.append(f"--- peers ---\n{net.states()}")
    except (AssertionError, OSError, ValueError) as problem:
        parts.append(f"--- no states of the peers: {problem}")
    return "\n".join(parts)


def run_test(case, net, shared, function, report):
    began = time.time()
    problem = None
    try:
        arguments = {"net": net}
        if "floodway" in inspect.signature(function).parameters:
            if "floodway" not in shared:
                shared["floodway"] = limited(60, net.floodway, **case.floodway)
            arguments["floodway"] = shared["floodway"]
        limited(getattr(function, "seconds", DEFAULT_SECONDS), function, **arguments)
        for router in net.routers:
            assert router.process is None or router.running(), f"{router.slot} has ended by itself"
    except Exception as e:                                             # noqa: BLE001
        problem = f"{told(e)}\n{evidence(net)}"
    report.outcome(case, function.__name__, time.time() - began, problem)


def run_case(case, tests, settings, report):
    missing = case.missing()
    if missing:
        command = "tests/interop/testnet.py setup " + " ".join(f"--only {k}" for k in missing)
        for name, _ in tests:
            report.outcome(case, name, 0, f"not installed: {', '.join(missing)}; run {command}")
        return
    before = report.failed + report.reported
    net = Network(settings.work / case.name, case.network, settings)
    began = time.time()
    print(f"# {case.name}: {case.about} ({' '.join(case.network)})", flush=True)
    shared = {}
    try:
        try:
            net.start()
        except Exception as e:                                         # noqa: BLE001
            for name, _ in tests:
                report.outcome(case, name, time.time() - began, told(e))
            return
        print(f"# network up after {time.time() - began:.1f} s", flush=True)
        for _, function in tests:
            run_test(case, net, shared, function, report)
    finally:
        keep = settings.keep or report.failed + report.reported > before
        problem = None
        began = time.time()
        try:
            net.stop(purge=not keep)
        except AssertionError as e:
            problem = str(e)
        if tests and shared:
            report.outcome(case, "stops_in_time", time.time() - began, problem)
        elif problem:
            report.outcome(case, "network_ends", time.time() - began, problem)
        if keep:
            print(f"# logs stay in {net.dir}", flush=True)


def chosen(cases, only, gating, shards, long):
    """The cases with the tests that were asked for, those that may take longest first."""
    for case in sorted(cases, key=Case.patience, reverse=True):
        tests = [(name, function) for name, function in case.tests
                 if getattr(function, "shards", 1) <= shards
                 and (long or not getattr(function, "long", False))
                 and (not only or any(o in f"{case.name}.{name}" for o in only))]
        if tests and (case.gating or not gating):
            yield case, tests


class Children:
    """Files of tests, each run by a process of its own, some at a time.

    Real routers wait far more than they work, so two networks side by side take half the time of one after the other.
    """

    def __init__(self, jobs):
        self.jobs = jobs
        self.lock = threading.Lock()
        self.running = set()
        self.passed = self.failed = 0

    def run(self, names):
        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(self.one, names))
        return self

    def one(self, name):
        command = [sys.executable, __file__, *without_jobs(sys.argv[1:]), "--case", name]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        with self.lock:
            self.running.add(child)
        output, _ = child.communicate()
        *told, last = output.rstrip().splitlines() or [""]
        counted = re.fullmatch(r"(\d+) passed, (\d+) failed", last)
        with self.lock:
            self.running.discard(child)
            print("\n".join(told), flush=True)
            if counted and (child.returncode == 0) == (counted[2] == "0"):
                self.passed += int(counted[1])
                self.failed += int(counted[2])
            else:
                print(f"{name}.ends ... FAILED (0 s)\n    exit {child.returncode}: {last}", flush=True)
                self.failed += 1

    def end(self):
        with self.lock:
            for child in self.running:
                child.terminate()


def without_jobs(argv):
    """The arguments that a child gets: its parent's, but for `--jobs N`."""
    kept, skip = [], False
    for word in argv:
        if skip or word.startswith("--jobs="):
            skip = False
        elif word == "--jobs":
            skip = True
        else:
            kept.append(word)
    return kept


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    ap.add_argument("--list", action="store_true", help="names the tests")
    ap.add_argument("--only", action="append", metavar="NAME",
                    help="tests whose FILE.TEST contains NAME (repeatable)")
    ap.add_argument("--case", metavar="FILE", help="only the tests of this file")
    ap.add_argument("--jobs", type=int, default=1, help="files that run at the same time (1)")
    ap.add_argument("--gating", action="store_true", help="leave out those that only report")
    ap.add_argument("--shards", type=int, default=2, help="of Floodway (2); "
                    "with a placement secret that splits the peers")
    ap.add_argument("--program", type=Path, help="floodway (target/release, else target/debug)")
    ap.add_argument("--work", type=Path, default=TOP / "target" / "interop",
                    help="where networks live (target/interop)")
    ap.add_argument("--long", action="store_true", help="tests that take long too, and sessions for their whole time")
    ap.add_argument("--keep", action="store_true", help="keep logs of tests that passed, too")
    ap.add_argument("--stand-in", action="store_true",
                    help="an i2pd in Floodway's place: are the tests themselves sound?")
    return ap.parse_args()


def find_program(given, target):
    choices = [given] if given else [target / p / "floodway" for p in ("release", "debug")]
    found = next((p for p in choices if p.is_file()), None)
    if not found:
        sys.exit(f"run.py: no {' or '.join(map(str, choices))}: run cargo build --release first")
    return found.resolve()


def in_parallel(a, names):
    children = Children(a.jobs)

    def ended(*_):
        children.end()
        sys.exit("run.py: ended by SIGTERM")

    signal.signal(signal.SIGTERM, ended)
    began = time.time()
    children.run(names)
    print(f"interop took {time.time() - began:.0f} s with {a.shards} shards, {a.jobs} files at a time")
    print(f"{children.passed} passed, {children.failed} failed")
    return 1 if children.failed else 0


def main():
    a = arguments()
    cases = [Case(path) for path in sorted((HERE / "cases").glob("*.py"))]
    picked = [(case, tests) for case, tests in chosen(cases, a.only, a.gating, a.shards, a.long)
              if a.case in (None, case.name)]
    if a.list:
        for case, tests in picked:
            for name, _ in tests:
                print(f"{case.name}.{name}" + ("" if case.gating else " (not gating)"))
        return 0
    if not picked:
        sys.exit("run.py: no test has such a name; --list names them")
    if a.jobs > 1:
        return in_parallel(a, [case.name for case, _ in picked])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: ended by SIGTERM"))
    target = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
    settings = SimpleNamespace(
        work=a.work.resolve(), keep=a.keep, shards=a.shards, long=a.long, stand_in=a.stand_in,
        program=find_program(a.program, target))
    report = Report()
    began = time.time()
    for case, tests in picked:
        run_case(case, tests, settings, report)
    told_only = f", {report.reported} failed that only report" if report.reported else ""
    print(f"interop took {time.time() - began:.0f} s with {a.shards} shards{told_only}")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
