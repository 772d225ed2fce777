"""Run every check of the course, one after the other, and close with a summary: what `make test` calls.

Unit tests and doctests with line coverage come first, then every lecture is run anew and its outputs compared with the
stored ones (nbval, strict). Both always run; the exit code is 1 when either failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300", "--dist=loadscope", "-W", "default"]
STEPS = {
    "library": ["--dist=loadgroup", "tests", "course_cnn", "--cov", "--cov-report=term:skip-covered"],
    "lectures": [*NBVAL, "notebooks"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=STEPS, help="run one of the two parts")
    parser.add_argument(
        "--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="processes (default: cores, at most 4)"
    )
    arguments = parser.parse_args()
    results = [run(name, arguments.jobs) for name in STEPS if arguments.only in (None, name)]

    print(f"\n{'part':<10}{'passed':>8}{'failed':>8}{'skipped':>9}{'minutes':>9}")
    for name, (passed, failed, skipped), seconds, code in results:
        print(f"{name:<10}{passed:>8}{failed:>8}{skipped:>9}{seconds / 60:>9.1f}{'' if code == 0 else '   FAILED'}")
    passed, failed, skipped = (sum(column) for column in zip(*(counts for _, counts, _, _ in results), strict=True))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return int(any(code for *_, code in results))


def run(name, jobs):
    """Run one part with its output on the screen; return (name, (passed, failed, skipped), seconds, exit code)."""
    print(f"\n== {name} ==", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(jobs), f"--junitxml={report}", *STEPS[name]]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        counts = count(report) if report.exists() else (0, 1, 0)
    return name, counts, time.monotonic() - started, code


def count(report):
    """Read (passed, failed, skipped) out of a JUnit report."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    total, failures, errors, skipped = (int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped"))
    return total - failures - errors - skipped, failures + errors, skipped


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; nothing was changed.")
