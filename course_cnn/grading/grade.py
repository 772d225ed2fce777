"""Grade one submission: run its notebook in a worker, its checks here, and write down what came of it.

A question is answered by the whole notebook, run from top to bottom. Where that goes wrong for a reason outside the
question's own cells (a cell that crashes, hangs or patches a library), the question gets a second run, in a fresh
worker, with the cells that define its answers and nothing else; the better of the two counts. So damage stays in one
question. Both runs are the student's own code, judged by the same checks.
"""

import contextlib
import math
import time
import traceback
import zlib
from pathlib import Path

import numpy as np

from course_cnn.grading import submission as submissions
from course_cnn.grading.checks import AnswerError, Answers, Failed, WorkerLost
from course_cnn.grading.forkserver import ForkServer, clean
from course_cnn.grading.models import ModelAnswer
from course_cnn.grading.session import Output, Worker

FORMAT = 1
LOST_CELLS = 3  # so many cells may take a process with them before questions are run one by one


def fork_server(assignment, *, hide=(), **options):
    """The `ForkServer` whose workers suit an assignment."""
    settings = assignment.settings
    return ForkServer(
        preload=settings.preload, unavailable=settings.unavailable, memory=settings.memory_limit * 1_000_000,
        seconds=4 * settings.time_limit, hide=[assignment.folder, *hide], **options,
    )  # fmt: skip


def grade_file(assignment, server, student, path, *, seed, hidden=True):
    """Grade the notebook at `path`; as `grade_bytes`, with files that cannot be read as results too."""
    try:
        data = submissions.read_bytes(path)
    except submissions.Unreadable as error:
        return ungraded(assignment, student, str(error))
    return grade_bytes(assignment, server, student, Path(path).name, data, seed=seed, hidden=hidden)


def grade_bytes(assignment, server, student, name, data, *, seed, hidden=True):
    """Grade the bytes of a notebook.

    Args:
        assignment: `Assignment`.
        server: the `ForkServer` that starts workers for it.
        student: str, whose it is.
        name: str, the file's name, for messages.
        data: bytes.
        seed: int; the inputs that checks draw depend on it and on the check's name.
        hidden: bool, False for the visible checks only.

    Returns:
        dict of plain data, see `results.Result`. Whatever the notebook does, there is one.
    """
    started = time.monotonic()
    try:
        notebook = submissions.parse(data, name)
    except submissions.Unreadable as error:
        return ungraded(assignment, student, str(error))
    run = Run(assignment, server, notebook, seed=seed, hidden=hidden)
    try:
        run.grade()
    finally:
        run.close()
    manual = [question["name"] for question in run.questions if question["status"] == "needs manual grade"]
    score = sum(question["score"] for question in run.questions)
    return {
        **_frame(assignment, student), "status": "needs manual grade" if manual else "graded",
        "reason": f"To be graded by hand: {', '.join(manual)}." if manual else "",
        "score": score, "raw_score": score, "max_score": sum(question["max_score"] for question in run.questions),
        "execution_time": round(time.monotonic() - started, 3), "questions": run.questions, "tests": run.tests,
        "cells": run.cells(), "output": run.output.text(), "isolation": run.layers,
    }  # fmt: skip


def ungraded(assignment, student, reason):
    """The result of a file that could not be graded, with its reason."""
    return {
        **_frame(assignment, student), "status": "could not be graded", "reason": clean(reason, 500), "score": 0.0,
        "raw_score": 0.0, "max_score": assignment.max_score, "execution_time": 0.0, "questions": [], "tests": [],
        "cells": [], "output": "", "isolation": {},
    }  # fmt: skip


def _frame(assignment, student):
    settings = assignment.settings
    return {"format": FORMAT, "student": student, "assignment": assignment.name, "title": settings.title, "late": None}


class Run:
    """The grading of one submission, within the time it has."""

    def __init__(self, assignment, server, notebook, *, seed, hidden):
        self.assignment, self.server, self.notebook = assignment, server, notebook
        self.seed, self.hidden, self.output = seed, hidden, Output()
        self.spent, self.asking_since = 0.0, None  # seconds the student's processes work; the grader's own do not count
        self.questions, self.tests, self.layers = [], [], {}
        self.worker, self.only, self.crashed = None, None, False
        self.slices, self.touchy, self.errors, self.lost = {}, set(), {}, {}
        self.wanted = {question.name: question.names for question in assignment.questions if not question.manual}

    def grade(self):
        for question in self.assignment.questions:
            if question.manual:
                self._by_hand(question)
                continue
            tests = self._question(question)
            if self._damaged(question, tests):
                with self._apart():
                    tests = max(tests, self._question(question, alone=True), key=_score)  # the first of equals
            self.tests += tests
            self.questions.append({
                "name": question.name, "title": question.title, "score": _score(tests),
                "max_score": math.fsum(test["max_score"] for test in tests), "manual": False, "status": "graded",
                "comment": "", "answer": "",
            })  # fmt: skip

    def close(self):
        self._end_worker()

    def cells(self):
        """What went wrong in cells: [{"cell": number of the code cell, "error": text}, …]."""
        both = {**self.errors, **self.lost}
        return [{"cell": number, "error": both[number]} for number in sorted(both)]

    @contextlib.contextmanager
    def _apart(self):
        """Put the worker that ran the whole notebook aside, and take it up again afterwards."""
        whole, self.worker = (self.worker, self.only), None
        try:
            yield
        finally:
            self._end_worker()
            self.worker, self.only = whole

    def _by_hand(self, question):
        answer = self.notebook.answer(question.name)
        self.questions.append({
            "name": question.name, "title": question.title, "score": 0.0, "max_score": float(question.points),
            "manual": True, "status": "needs manual grade", "comment": "",
            "answer": clean(answer if answer is not None else "", 20_000),
        })  # fmt: skip

    def _question(self, question, *, alone=False):
        """Run the checks of a question; after the loss of a worker the rest of them is lost as well."""
        tests, lost, asked, self.crashed = [], None, _Asked(self, question), False
        for check in self.assignment.checks_of(question):
            if check.hidden and not self.hidden:
                continue
            passed, message, problem = False, lost, None
            if lost is None:
                try:
                    self._ready(question.name if alone else None)
                except WorkerLost as error:
                    message = lost = f"Your notebook {error}."
                    self.crashed = True
                else:
                    try:
                        check.function(Answers(asked), self._rng(check))
                        passed, message = True, ""
                    except WorkerLost as error:
                        self.crashed = "took longer than" not in str(error)
                        message = f"{asked.what} {error}."
                        lost = f"Not run: an earlier check of this question ended your process ({asked.what} {error})."
                    except Failed as error:
                        message = str(error)
                    except Exception as error:  # a check stumbled over what came; the instructor hears of it
                        message = "This check could not make sense of what your answer returned."
                        problem = _where(error)
            test = {
                "question": question.name, "name": check.name, "title": check.title, "hidden": check.hidden,
                "score": float(check.points) if passed else 0.0, "max_score": float(check.points), "passed": passed,
                "message": clean(message, 1000),
            }  # fmt: skip
            tests.append({**test, "problem": clean(problem, 1000)} if problem else test)
        return tests

    def _damaged(self, question, tests):
        """Whether points are missing and something outside the question's own cells may be why."""
        if all(test["passed"] for test in tests) or question.name not in self.slices or self._time_left() <= 0:
            return False
        outside = self.touchy | set(self.errors) | set(self.lost)
        if self.crashed:  # anything that was started earlier may be why
            outside = set(range(1, len(self.notebook.code) + 1))
        return bool(outside - set(self.slices[question.name]))

    def _rng(self, check):
        return np.random.default_rng([self.seed, zlib.crc32(check.name.encode())])

    def _time_left(self):
        running = 0.0 if self.asking_since is None else time.monotonic() - self.asking_since
        return self.assignment.settings.time_limit - self.spent - running

    def ask(self, operation, seconds, **message):
        """Ask the worker and count the time it takes."""
        self.asking_since = time.monotonic()
        try:
            return self.worker.ask(operation, seconds, **message)
        finally:
            self.spent += time.monotonic() - self.asking_since
            self.asking_since = None

    def _ready(self, only):
        """Have a worker that has run the notebook, or of it the cells that one question needs."""
        if self.worker is not None and self.worker.lost is None and self.only == only:
            return
        limit = self.assignment.settings.cell_time_limit or self.assignment.settings.time_limit / 4
        skip, tries = (self.lost, LOST_CELLS) if only is None else ({}, 2)  # alone, cells are innocent until they hang
        while True:
            self._end_worker()
            if len(skip) >= tries:
                raise WorkerLost(f"lost {tries} processes in its cells")
            if self._time_left() <= 0:
                raise WorkerLost(f"used up the {self.assignment.settings.time_limit:g} s that a submission has")
            limit = limit if only is None else min(limit, self._time_left() / 3)  # the rest is for other questions
            running = {"parsing": 0, "cell": 0}  # the cells at work

            def event(frame, running=running, limit=limit):
                return min(limit, self._time_left()) if self._hear(frame, running) else None

            try:
                self.worker, self.only = Worker(self.server, self.output), only
                chosen = range(1, len(self.notebook.code) + 1) if only is None else self.slices[only]
                cells = {str(n): self.notebook.code[n - 1] for n in chosen if n not in skip}
                errors = self.ask(
                    "run", min(limit, self._time_left()), event=event, cells=cells,
                    questions={} if self.slices else self.wanted,
                )  # fmt: skip
            except AnswerError as error:  # the worker is lost, or its own code was made to fail
                why = str(error) if isinstance(error, WorkerLost) else f"stopped the notebook ({error})"
                self._end_worker()
                if (cell := running["cell"] or running["parsing"]) and cell not in skip:
                    skip[cell] = f"This cell {why}; it was left out from then on."
                    self.lost = {**skip, **self.lost} if only is not None else skip
                    continue
                raise WorkerLost(why) from None
            if only is None and isinstance(errors, list):
                for item in errors[:100]:
                    if isinstance(item, list) and len(item) == 2 and self._is_cell(item[0]):
                        self.errors[item[0]] = clean(str(item[1]), 500)
            return

    def _hear(self, frame, running):
        """Take a word of a running notebook: a cell that is parsed or begins, or its plan; True if it moves on.

        It may be forged, so it is verified: cells come in order, and a cell gets its time once.
        """
        for stage in ("cell",) if running["cell"] else ("parsing", "cell"):
            cell = frame.get(stage)
            if self._is_cell(cell) and cell > running[stage]:
                running[stage] = cell
                return True
        plan = frame.get("plan")
        if isinstance(plan, dict) and not running["cell"] and not self.slices:  # before the first cell ran
            slices, touchy = plan.get("slices"), plan.get("touchy")
            if isinstance(slices, dict) and isinstance(touchy, list):
                self.slices = {
                    name: sorted({c for c in slices.get(name, ()) if self._is_cell(c)}) for name in self.wanted
                }
                self.touchy = {c for c in touchy if self._is_cell(c)}
                return True
        return False

    def _is_cell(self, number):
        return isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(self.notebook.code)

    def _end_worker(self):
        if self.worker is not None:
            self.worker.end()
            for layer, held in self.worker.layers.items():
                self.layers[layer] = bool(held) and self.layers.get(layer, True)
            self.worker = None


class _Asked:
    """The way from a check to the worker: `Answers` and `ModelAnswer` call it; it words what goes wrong."""

    def __init__(self, run, question):
        self.run, self.question, self.left = run, question, question.time_limit
        self.what = "Your notebook"

    def __call__(self, operation, name, args, kwargs):
        self.what = f"`{name}`"
        message = {"name": name, "args": list(args), "kwargs": kwargs} if operation == "call" else {"name": name}
        return self._ask(operation, **message)

    def _ask(self, operation, **message):
        run, before = self.run, self.run.spent
        try:
            value = run.ask(operation, max(0.0, min(self.left, run._time_left())), **message)
        except WorkerLost as error:
            if str(error).startswith("took longer than"):
                limit = self.question.time_limit
                raise WorkerLost(f"took longer than the {limit:g} s that this question has") from None
            raise
        except AnswerError as error:
            raise AnswerError(self._worded(error), kind=error.kind) from None
        finally:
            self.left -= run.spent - before
        if isinstance(value, ModelAnswer):
            value._ask = self._model
        return value

    def _model(self, operation, **message):
        self.what = "Your model"
        return self._ask(operation, **message)

    def _worded(self, error):
        text = str(error)
        if error.kind == "NotImplementedError":
            return f"{self.what} is not done yet: it still raises NotImplementedError."
        if error.kind == "Missing":
            said = text.removeprefix("Missing: ")
            lost = "".join(f" Cell {number}: {why}" for number, why in sorted(self.run.lost.items()))
            return said[:1].upper() + said[1:] + ("" if said.endswith((".", "?")) else ".") + lost
        if error.kind is None:
            return f"{self.what} answered, but {text}."
        return f"{self.what} raised {text}."


def _score(tests):
    return math.fsum(test["score"] for test in tests)


def _where(error):
    """The last line of a traceback that lies in the assignment's checks, for the instructor."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == "checks.py"]
    at = f" at checks.py, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{at}"
