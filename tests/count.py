"""Runs the tests that ./test has built and counts them: `N passed, M failed`, the last line.

usage: count.py BUILD_DIR SUITE[,SUITE] [ARGS]: unit, functional, guest (ARGS are pytest's), or
fuzz (ARGS: seconds for each program).

A test that was skipped counts as failed, and so does a program that ends badly without naming a
failed test, and a suite in which nothing ran.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNIT_PROGRAM_SECONDS = 900  # under the sanitizers, on a busy machine


class Count:
    def __init__(self, results):
        self.results = results
        self.passed = 0
        self.failed = []
        results.mkdir(parents=True, exist_ok=True)

    def junit(self, suite):
        path = self.results / f"{suite}.xml"
        path.unlink(missing_ok=True)
        return path

    def add(self, suite, junit, status, seconds):
        """Adds what a program wrote to its JUnit file, `status` being its exit status."""
        failed = []
        cases = test_cases(junit)
        for case in cases:
            name = f"{case.get('classname')}.{case.get('name')}"
            if case.get("status") == "notrun" or case.find("skipped") is not None:
                failed.append(f"{suite}: {name} (skipped)")
            elif case.find("failure") is not None or case.find("error") is not None:
                failed.append(f"{suite}: {name}")
        if not cases:
            failed.append(f"{suite}: no test ran")
        elif status != 0 and not failed:
            failed.append(f"{suite}: ended with status {status}")
        self.note(suite, max(len(cases) - len(failed), 0), failed, seconds)

    def note(self, suite, passed, failed, seconds):
        self.passed += passed
        self.failed += failed
        print(f"test: {suite}: {passed} passed, {len(failed)} failed ({seconds:.1f} s)", flush=True)

    def finish(self):
        for name in self.failed:
            print(f"FAILED {name}")
        print(f"{self.passed} passed, {len(self.failed)} failed")
        return 1 if self.failed or not self.passed else 0


def test_cases(junit):
    try:
        return list(xml.etree.ElementTree.parse(junit).getroot().iter("testcase"))
    except (FileNotFoundError, xml.etree.ElementTree.ParseError):
        return []


def run(command, seconds=None, **options):
    """The exit status, None after `seconds`, and how long it took."""
    start = time.monotonic()
    try:
        status = subprocess.run(command, timeout=seconds, **options).returncode
    except subprocess.TimeoutExpired:
        status = None
    return status, time.monotonic() - start


def run_quietly(command, seconds, log_path):
    """As run(), but the output is shown only when something went wrong."""
    with open(log_path, "wb") as log:
        status, took = run(command, seconds, stdout=log, stderr=subprocess.STDOUT)
    if status != 0:
        print(log_path.read_text(errors="replace")[-20000:], flush=True)
    return status, took


def pytest(count, suite, paths, arguments=()):
    junit = count.junit(suite)
    status, took = run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}",
         *paths, *arguments], cwd=ROOT)
    count.add(suite, junit, status, took)


def unit(count, build, _):
    listed = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True,
                            stdout=subprocess.PIPE).stdout
    for test in json.loads(listed)["tests"]:
        suite = f"unit-{test['name']}"
        junit = count.junit(suite)
        status, took = run_quietly([*test["command"], f"--gtest_output=xml:{junit}"],
                                   UNIT_PROGRAM_SECONDS, junit.with_suffix(".log"))
        count.add(suite, junit, status, took)
    pytest(count, "unit-python", sorted(map(str, (ROOT / "tests/unit").glob("*.py"))))


def functional(count, _, arguments):
    # Each process has a host and a network of its own; the tests of one file share them.
    parallel = ["-n", str(os.cpu_count()), "--dist", "loadfile"]
    pytest(count, "functional", ["tests/functional"], [*parallel, *arguments])


def guest(count, _, arguments):
    pytest(count, "guest", ["tests/guest"], arguments)


def fuzz(count, build, arguments):
    seconds = int(arguments[0])
    for program in sorted((build / "bin").glob("*_fuzz")):
        corpus = build / "corpus" / program.name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = ROOT / "tests/fuzz/seeds" / program.name.removesuffix("_fuzz")
        status, took = run_quietly(
            [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
             f"-artifact_prefix={corpus.parent}/{program.name}-", corpus, seeds],
            seconds + 60, count.results / f"{program.name}.log")
        failed = [] if status == 0 else [f"{program.name}: ended with status {status}"]
        count.note(program.name, 1 - len(failed), failed, took)


SUITES = {"unit": unit, "functional": functional, "guest": guest, "fuzz": fuzz}


def main():
    build = (ROOT / sys.argv[1]).resolve()
    os.environ["VIRGA_BUILD"] = str(build)
    count = Count(build / "results")
    for suite in sys.argv[2].split(","):
        SUITES[suite](count, build, sys.argv[3:])
    return count.finish()


if __name__ == "__main__":
    sys.exit(main())
