"""A tiny assignment for the tests of the grader: two questions in NumPy, one by hand."""

import json
import textwrap

import pytest

TOML = """
title = "Tiny"
minutes = 5
time_limit = 12
cell_time_limit = 2
memory_limit = 400
unavailable = ["scipy"]

[[questions]]
name = "double"
title = "Twice as much"
points = 3
time_limit = 2

[[questions]]
name = "mean"
title = "The mean"
points = 2
time_limit = 2

[[questions]]
name = "essay"
title = "In words"
points = 4
manual = true
"""

CHECKS = '''
import numpy as np

from course_cnn.grading import expect_close, expect_equal, hidden, visible

SECRET = 987654


def draw(rng):
    return rng.normal(size=5)


@visible("double", points=1)
def of_three(answers, rng):
    """Twice three"""
    expect_equal(answers.double(3), 6, "Add the number to itself.")


@hidden("double", points=2)
def of_drawn_numbers(answers, rng):
    """Twice some numbers"""
    x = draw(rng)
    expect_close(answers.double(x), 2 * x, "Each number counts.")
    expect_equal(answers.double(SECRET), 2 * SECRET, "Large ones too.")


@visible("mean", points=1)
def of_two(answers, rng):
    """The mean of two"""
    expect_close(answers.mean([1.0, 2.0]), 1.5, "Divide by how many there are.")


@hidden("mean", points=1)
def of_many(answers, rng):
    """The mean of many"""
    x = rng.normal(size=7)
    expect_close(answers.mean(x), x.mean(), "Divide by how many there are.")
'''

DOUBLE = '''def double(x):
    """Return twice x, a number or an array."""
    ### BEGIN SOLUTION
    twice_as_much = 2 * x
    return twice_as_much
    ### END SOLUTION'''

MEAN = '''def mean(x):
    """Return the mean of a list of numbers."""
    ### BEGIN SOLUTION
    return float(np.sum(x)) / len(x)
    ### END SOLUTION'''

TESTS = """# Graded here when your instructor uses nbgrader.
### BEGIN HIDDEN TESTS
assert double(987654) == 1975308
### END HIDDEN TESTS"""

ESSAY = "### Answer: essay\n\n### BEGIN SOLUTION\nBecause of the model answer.\n### END SOLUTION"


def cell(source, kind="code", **metadata):
    new = {"cell_type": kind, "id": f"c{abs(hash(source)) % 10**8}", "metadata": metadata, "source": source}
    return new | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def notebook(*cells):
    """A notebook of these cells; text stands for a code cell."""
    cells = [cell(c) if isinstance(c, str) else c for c in cells]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def solved(*more, double="def double(x):\n    return 2 * x", mean="def mean(x):\n    return float(np.mean(x))"):
    """A submission with right answers unless told otherwise, and more code cells behind."""
    return notebook("import numpy as np", double, mean, *map(textwrap.dedent, more))


def make_assignment(folder, *, toml=TOML, checks=CHECKS, cells=None):
    """Write the tiny assignment, or a variation of it."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = cells or [
        cell("# Tiny", "markdown"), cell("import numpy as np"), cell(DOUBLE), cell(TESTS), cell(MEAN),
        cell(ESSAY, "markdown", nbgrader={"grade": True, "solution": True, "grade_id": "essay"}),
    ]  # fmt: skip
    (folder / "assignment.toml").write_text(toml, encoding="utf-8")
    (folder / "checks.py").write_text(checks, encoding="utf-8")
    (folder / "tiny.ipynb").write_text(json.dumps(notebook(*cells)), encoding="utf-8")
    return folder


@pytest.fixture
def tiny(tmp_path):
    """The folder of the tiny assignment."""
    return make_assignment(tmp_path / "tiny")


@pytest.fixture(scope="session")
def tiny_server(tmp_path_factory):
    """(assignment, fork server) of the tiny assignment, for tests that only grade."""
    from course_cnn.grading.assignment import Assignment
    from course_cnn.grading.grade import fork_server

    assignment = Assignment(make_assignment(tmp_path_factory.mktemp("assignment") / "tiny"))
    with fork_server(assignment) as server:
        yield assignment, server


@pytest.fixture
def graded(tiny_server):
    """grade(notebook or bytes, seed=0) -> result."""
    from course_cnn.grading.grade import grade_bytes

    def grade(book, **options):
        data = book if isinstance(book, bytes) else json.dumps(book).encode()
        return grade_bytes(*tiny_server, "student", "tiny.ipynb", data, **{"seed": 0, **options})

    return grade
