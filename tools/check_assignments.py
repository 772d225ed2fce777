"""Grade twenty ordinary submissions of each assignment, serially and in parallel, several times, against the truth.

Instructors run it after an upgrade; with --copies it grades a large class and reports time and memory.
"""

import argparse
import csv
import json
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_cnn.grading.assignment import Assignment  # noqa: E402
from course_cnn.grading.batch import grade_folder  # noqa: E402
from tests.grading.ordinary import FOLDERS, ordinary, write_class  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="NUMBER", help="such as 01 03; all assignments when left out")
    parser.add_argument("--runs", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--submissions", type=int, default=20, help="how many each (default: 20)")
    parser.add_argument("--copies", type=int, default=0, help="instead: a class of so many, copies with small changes")
    arguments = parser.parse_args()
    folders = [f for f in FOLDERS if not arguments.only or f.name[:2] in arguments.only]
    if not folders:
        parser.error(f"no assignment has this number; there are {', '.join(f.name[:2] for f in FOLDERS)}")
    if arguments.copies:
        return max([large_class(folder, arguments.copies) for folder in folders])
    return max([compare(folder, arguments.submissions, arguments.runs) for folder in folders])


def compare(folder, number, runs):
    """Print a line per run; return 1 if any mark differs from the truth."""
    assignment, submissions, bad = Assignment(folder), ordinary(folder, number), 0
    truth = {one.name: one.score(assignment) for one in submissions}
    for run in range(1, runs + 1):
        for jobs in (1, 2):
            with tempfile.TemporaryDirectory() as place:
                handed_in = write_class(Path(place, "in"), submissions)
                started = time.monotonic()
                grade_folder(folder, handed_in, Path(place, "out"), jobs=jobs)
                seconds = time.monotonic() - started
                got = marks(Path(place, "out"))
            wrong = {
                name: (got.get(name), want) for name, want in truth.items() if abs(got.get(name, -1) - want) > 1e-6
            }
            bad += len(wrong)
            right = len(truth) - len(wrong)
            print(
                f"{folder.name}  run {run}  jobs {jobs}  {right}/{len(truth)} right  {seconds / len(truth):.2f} s each",
                flush=True,
            )
            for name, (one, other) in wrong.items():
                print(f"    {name}: {one}, and it should be {other}")
    return int(bad > 0)


def large_class(folder, number):
    """Grade a class of copies of the ordinary submissions; print time and memory as it goes."""
    submissions = ordinary(folder)
    assignment, truth, sizes, stop = Assignment(folder), {}, [], threading.Event()
    with tempfile.TemporaryDirectory() as place:
        for i in range(number):
            one = submissions[i % len(submissions)]
            name = f"{one.name}-{i:05}"
            truth[name] = one.score(assignment)
            target = Path(place, "in", name)
            target.mkdir(parents=True)
            cell = {"cell_type": "code", "id": "copy", "metadata": {}, "source": f"# copy {i}", "outputs": []}
            book = {**one.notebook, "cells": [*one.notebook["cells"], cell]}
            (target / "work.ipynb").write_text(json.dumps(book), encoding="utf-8")
        watch = threading.Thread(target=lambda: [sizes.append(memory()) for _ in iter(lambda: stop.wait(1), True)])
        watch.start()
        started = time.monotonic()
        grade_folder(folder, Path(place, "in"), Path(place, "out"), jobs=2)
        seconds = time.monotonic() - started
        stop.set()
        watch.join()
        got = marks(Path(place, "out"))
    wrong = sum(abs(got.get(name, -1) - want) > 1e-6 for name, want in truth.items())
    tenths = [sizes[len(sizes) * i // 10] for i in range(10)] if len(sizes) >= 10 else sizes
    print(f"{folder.name}  {number} submissions, {wrong} wrong, {seconds:.0f} s, {seconds / number:.3f} s each")
    print(f"    memory of the grader by tenths of the time, MB: {' '.join(f'{size:.0f}' for size in tenths)}")
    print(f"    at its largest {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")
    return int(wrong > 0)


def memory():
    """Resident memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def marks(out):
    with open(out / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student"]: float(row["score"]) for row in csv.DictReader(file)}


if __name__ == "__main__":
    sys.exit(main())
