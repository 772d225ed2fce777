"""The grading rows: whole processes of `course-cnn grade`, and of nbgrader on the same notebooks, if it is there.

nbgrader grades what it knows: its own test cells in the source notebook, copied into each submission. Its kernel is the
Python that runs our workers. Making its release is not measured, starting either program is.

`python -m benchmarks.grading FOLDER NUMBER OUT` writes the submissions of an assignment. It is a process of its own,
because an assignment's checks may import TensorFlow, which has no place beside a stopwatch.
"""

import copy
import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from benchmarks.measure import ROOT, Row

NUMPY, TENSORFLOW = (ROOT / "assignments" / name for name in ("01_convolution", "03_lenet"))
BUILDING = "build_lenet"  # the question of it that trains nothing: there starting TensorFlow is what takes time
OURS = 'pip install -e ".[grade]"'
INSTALL = "pip install nbgrader, in any environment, then --nbgrader PATH or NBGRADER=PATH names its command"
LOST = {"lost_metadata"}  # ordinary submissions that only we can grade: nbgrader finds its cells by their metadata
DIFFERENT = 20  # submissions of a class that are no copies
# How many submissions: of a class, of one that is large enough for two jobs, and of the TensorFlow assignment.
SIZES, QUICK = (20, 200, 8), (4, 8, 2)
PATIENT = ("--Execute.timeout=600", "--Execute.iopub_timeout=60")  # nbgrader gives up on a slow import after 4 s
ROUNDS = {False: 3, True: 1}  # by `quick`


def available():
    """Whether this Python has what `course-cnn grade` needs."""
    return importlib.util.find_spec("pydantic") is not None


def steps(quick):
    """How often `rows` calls `step`."""
    return 2 * ROUNDS[quick] + _there(TENSORFLOW) * (ROUNDS[quick] + 1)


def command(named=None):
    """nbgrader's command: the one named, else beside this Python, else on the path; None if there is none."""
    if named:
        return shutil.which(named)
    return shutil.which("nbgrader", path=str(Path(sys.executable).parent)) or shutil.which("nbgrader")


def version(nbgrader):
    return _run([nbgrader, "--version"], cwd=ROOT, env=environment()).strip().splitlines()[-1]


def rows(nbgrader, *, quick=False, part=lambda name: None, step=lambda: None):
    """Measure everything; yield the Rows. Without nbgrader, None, its rows have no reference.

    The two graders take turns, each round in the opposite order of the one before.
    """
    number, many, few = QUICK if quick else SIZES
    rounds = ROUNDS[quick]
    part("grading")
    ours, theirs = against_nbgrader(NUMPY, number, nbgrader, rounds=rounds, step=step)
    yield Row(f"grade, NumPy\n{number} submissions\neach", "", each(ours, 0, number), [], "seconds", 0.3)
    first, again = each(ours, 0), each(ours, 1)
    yield Row(f"grade again\n{number} submissions\nunchanged", "first run", again, first, "at most", 0.05)
    part("grading with two jobs")
    times = two_jobs(NUMPY, many, rounds=rounds, step=step)
    copies = f"\ncopies of {DIFFERENT}" if many > DIFFERENT else ""  # many, so that starting up does not hide the jobs
    what = f"grade, two jobs\n{many} submissions{copies}"
    yield Row(what, "one job", times[2], times[1], "times faster", 1.6)
    against = "nbgrader" if nbgrader else "nbgrader\nnot installed"
    sides = each(ours, 0, number), each(theirs, 0, number)
    yield Row(f"grade, NumPy\n{number} submissions\neach", against, *sides, "times faster", None)
    sides = each(ours, 1), each(theirs, 1)
    yield Row(f"grade again\n{number} submissions\nunchanged", against, *sides, "times faster", None)
    if not _there(TENSORFLOW):
        return
    part("grading TensorFlow")
    with tempfile.TemporaryDirectory(prefix="course-cnn-bench-") as place:
        first = one_question(TENSORFLOW, BUILDING, Path(place) / "assignment")
        ours, theirs = against_nbgrader(first, few, nbgrader, rounds=rounds, step=step)
    sides = each(ours, 0, few), each(theirs, 0, few)
    yield Row(f"grade, TensorFlow\n{few} submissions\nbuilding LeNet", against, *sides, "times faster", 5)
    part("grading TensorFlow, with training")
    few = -(-few // 2)
    ours, theirs = against_nbgrader(TENSORFLOW, few, nbgrader, rounds=1, step=step)
    sides = each(ours, 0, few), each(theirs, 0, few)  # our checks train four networks, nbgrader's cells one
    yield Row(f"grade, TensorFlow\n{few} submissions\nwith training", against, *sides, "times faster", None)


def notes(nbgrader):
    """Sentences about the rows that are left out or have nothing to compare with."""
    missing = [] if nbgrader else [f"nbgrader is not installed, so there is nothing to compare with: {INSTALL}"]
    if not _there(TENSORFLOW):
        missing.append(f"There is no {TENSORFLOW.relative_to(ROOT)}, so the row of grading TensorFlow is left out.")
    return missing


def each(times, run, number=1):
    """The seconds per submission of the first (0) or the second (1) run of every round."""
    return [seconds[run] / number for seconds in times]


def against_nbgrader(folder, number, nbgrader, *, rounds, step=lambda: None):
    """Time both graders on one class, each a first run and a second in which nothing has changed.

    Returns:
        ([(first, second) seconds of `course-cnn grade`, …], the same of nbgrader, or [] without it).
    """
    with tempfile.TemporaryDirectory(prefix="course-cnn-bench-") as place:
        place = Path(place)
        course = place / "course"
        write(folder, number, course / "submitted")
        sides = {"ours": lambda student=None: _ours(folder, course, place, student)}
        if nbgrader:
            env = environment(nbgrader, place / "jupyter")
            release(nbgrader, folder, course, env)
            sides["nbgrader"] = lambda student=None: _theirs(nbgrader, folder, course, place, env, student)
        first = sorted(os.listdir(course / "submitted"))[0]
        for grade in sides.values():  # brings the files into memory; not measured
            grade(first)
        times = {side: [] for side in sides}
        for turn in range(rounds):
            for side in list(sides)[:: -1 if turn % 2 else 1]:
                times[side].append(sides[side]())
            step()
    return times["ours"], times.get("nbgrader", [])


def two_jobs(folder, number, *, rounds, step=lambda: None):
    """Time `course-cnn grade` with one job and with two: {1: seconds round by round, 2: …}."""
    times = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="course-cnn-bench-") as place:
        course = Path(place) / "course"
        write(folder, number, course / "submitted")
        for turn in range(rounds):
            for jobs in list(times)[:: -1 if turn % 2 else 1]:
                times[jobs].append(_ours(folder, course, Path(place), None, jobs=jobs, runs=1)[0])
            step()
    return times


def one_question(folder, question, out):
    """Write an assignment that is one question of another; return its folder.

    The notebook ends behind the question's test cell. Of the wrong answers those stay that change what is left.
    """
    out.mkdir(parents=True)
    head, *questions = (folder / "assignment.toml").read_text(encoding="utf-8").split("[[questions]]")
    (kept,) = (text for text in questions if f'name = "{question}"' in text)
    (out / "assignment.toml").write_text(f"{head}[[questions]]{kept}", encoding="utf-8")
    checks = (folder / "checks.py").read_text(encoding="utf-8")
    names = re.findall(rf'@(?:visible|hidden)\("{question}", points=[\d.]+\)\ndef (\w+)', checks)
    only = f"\n_course_cnn_checks[:] = [c for c in _course_cnn_checks if c.question == {question!r}]\n"
    (out / "checks.py").write_text(checks + only, encoding="utf-8")
    (source,) = folder.glob("*.ipynb")
    book = json.loads(source.read_text(encoding="utf-8"))
    ids = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in book["cells"]]
    book["cells"] = book["cells"][: ids.index(f"{question}_tests") + 1]
    (out / source.name).write_text(json.dumps(book), encoding="utf-8")
    code = "\n".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    wrong = []
    for name, one in tomllib.loads((folder / "wrong_answers.toml").read_text(encoding="utf-8")).items():
        loses = [check for check in one["loses"] if check in names]
        if loses and all(edit["old"] in code for edit in one["edits"]):
            edits = ", ".join(f"{{ old = {json.dumps(e['old'])}, new = {json.dumps(e['new'])} }}" for e in one["edits"])
            wrong.append(f"[{name}]\nwhy = {json.dumps(one['why'])}\nedits = [{edits}]\nloses = {json.dumps(loses)}\n")
    (out / "wrong_answers.toml").write_text("\n".join(wrong), encoding="utf-8")
    return out


def _ours(folder, course, place, student, *, jobs=1, runs=2):
    handed_in, out = course / "submitted", place / "out"
    if student:
        handed_in = place / "one"
        shutil.copytree(course / "submitted" / student, handed_in / student)
    grade = [sys.executable, "-m", "course_cnn", "grade", folder, handed_in, "--out", out, "--jobs", jobs, "--seed", 1]
    try:
        times = [_timed(grade, cwd=ROOT, env=environment()) for _ in range(runs)]
        graded(out / "grades.csv", len(os.listdir(handed_in)))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return times


def _theirs(nbgrader, folder, course, place, env, student):
    copied = place / "round"
    shutil.copytree(course, copied)
    name = _name(folder)
    autograde = [nbgrader, "autograde", name, *PATIENT, *(["--student", student] if student else [])]
    try:
        times = [_timed(autograde, cwd=copied, env=env) for _ in range(2)]
        done, wanted = len(list(copied.glob(f"autograded/*/{name}/*.ipynb"))), len(os.listdir(copied / "submitted"))
        if not student and done < wanted:
            raise RuntimeError(f"nbgrader graded {done} of {wanted} submissions of {name}")
    finally:
        shutil.rmtree(copied, ignore_errors=True)
    return times


def graded(table, number):
    """Complain unless a grades.csv says that so many submissions were graded: a time for less would mean nothing."""
    with open(table, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    lost = [f"{line['student']}: {line['reason']}" for line in lines if line["status"] == "could not be graded"]
    if lost or len(lines) != number:
        raise RuntimeError(f"{len(lines) - len(lost)} of {number} submissions were graded. {'; '.join(lost)}")


def release(nbgrader, folder, course, env):
    """Let nbgrader make its release, and with it the gradebook that its autograder needs."""
    source = course / "source" / _name(folder)
    source.mkdir(parents=True)
    shutil.copy(folder / f"{_name(folder)}.ipynb", source)
    _run([nbgrader, "generate_assignment", _name(folder)], cwd=course, env=env)


def environment(nbgrader=None, place=None):
    """The environment of our grader; given its command and a folder, of nbgrader with this Python as its kernel."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}  # both on the processor, without greetings
    if nbgrader is None:
        return env
    spec = place / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    text = json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"})
    (spec / "kernel.json").write_text(text, encoding="utf-8")
    env["PATH"] = os.pathsep.join([str(Path(nbgrader).parent), env.get("PATH", os.defpath)])  # it calls alembic
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}  # nobody's settings
    return env | {"JUPYTER_PATH": str(place)} | {name: str(place / folder) for name, folder in folders.items()}


def write(folder, number, out):
    """Write submissions as OUT/STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb, where both graders look for them."""
    _run([sys.executable, "-m", "benchmarks.grading", folder, number, out], cwd=ROOT, env=environment())


def submissions(folder, number):
    """{student: notebook}: 20 or fewer ordinary ones, as the tests of grading have them, then copies of them.

    Each copy has a cell more, so that no two files are the same.
    """
    from course_cnn.grading.source import find_source, read_source, student_notebook
    from tests.grading.ordinary import ordinary

    tests = tests_of(student_notebook(read_source(find_source(folder))))
    found = [one for one in ordinary(folder, DIFFERENT + len(LOST)) if one.name not in LOST][: min(number, DIFFERENT)]
    made = {one.name: with_tests(one.notebook, tests) for one in found}
    for count in range(number - len(made)):
        one = found[count % len(found)]
        made[f"{one.name}_copy_{count}"] = with_tests(one.notebook, tests, f"Copy {count}")
    return made


def tests_of(notebook):
    """nbgrader's test cells of a student notebook: [(id of the cell before, cell), …]."""
    pairs, before = [], None
    for cell in notebook["cells"]:
        if _is_test(cell):
            pairs.append((before, cell))
        before = cell["id"]
    return pairs


def with_tests(notebook, tests, text=None):
    """A copy of a notebook with nbgrader's test cells back in their places, and maybe a cell of text at its end."""
    cells = [copy.deepcopy(cell) for cell in notebook["cells"] if not _is_test(cell)]
    for before, test in tests:
        at = next((i for i, cell in enumerate(cells) if cell.get("id") == before), len(cells) - 1)
        cells.insert(at + 1, copy.deepcopy(test))
    if text is not None:
        cells.append({"cell_type": "markdown", "id": "one-more", "metadata": {}, "source": text})
    return {**notebook, "cells": cells}


def main(folder, number, out):
    folder, out = Path(folder), Path(out)
    for student, notebook in submissions(folder, int(number)).items():
        place = out / student / _name(folder)
        place.mkdir(parents=True)
        (place / f"{_name(folder)}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def _is_test(cell):
    nbgrader = cell.get("metadata", {}).get("nbgrader", {})
    return bool(nbgrader.get("grade")) and not nbgrader.get("solution")


def _there(folder):
    return (folder / "assignment.toml").exists()


def _name(folder):
    """The assignment's name, as both graders use it: that of its one notebook."""
    (source,) = Path(folder).glob("*.ipynb")
    return source.stem


def _timed(command, *, cwd, env):
    start = time.perf_counter()
    _run(command, cwd=cwd, env=env)
    return time.perf_counter() - start


def _run(command, *, cwd, env):
    """Run a program and return what it prints; one that fails is an error with its last words."""
    command = [str(word) for word in command]
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
