"""Two tiny assignments of our own for the adversarial tests, written to a folder; NumPy only, and one with Keras."""

import json

TOML = """\
title = "Four small things"
minutes = 5
time_limit = 15
cell_time_limit = 1.5
memory_limit = 300
preload = ["numpy"]
unavailable = ["scipy", "skimage", "tensorflow", "keras"]

[[questions]]
name = "add"
title = "Add"
points = 2
time_limit = 2

[[questions]]
name = "slide"
title = "Slide"
points = 4
time_limit = 2

[[questions]]
name = "middle"
title = "Middle"
points = 2
time_limit = 2

[[questions]]
name = "size"
title = "Size"
points = 2
time_limit = 2
"""

CHECKS = '''\
"""Checks of the tiny assignment."""

import numpy as np

from course_cnn.grading import expect_close, expect_equal, hidden, visible

SECRET = "a-word-that-only-checks-hold"


def slid(x, kernel, stride=1):
    rows = [x[i : i + len(kernel)] @ kernel for i in range(0, len(x) - len(kernel) + 1, stride)]
    return np.array(rows)


@visible("add", points=1)
def two_and_three(answers, rng):
    """Two and three"""
    expect_equal(answers.add(2, 3), 5, "Count.")


@hidden("add", points=1)
def drawn_sums(answers, rng):
    """Drawn numbers"""
    for a, b in rng.integers(-1000, 1000, (3, 2)).tolist():
        expect_equal(answers.add(a, b), a + b, "Negative ones too.")


@visible("slide", points=1)
def one_step(answers, rng):
    """A kernel of two"""
    expect_close(answers.slide(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0])), [3.0, 6.0], "Add neighbours.")


@hidden("slide", points=2)
def drawn_rows(answers, rng):
    """Drawn rows"""
    x, kernel = rng.normal(size=rng.integers(8, 12)), rng.normal(size=3)
    expect_close(answers.slide(x, kernel), slid(x, kernel), "One product for each position.")


@hidden("slide", points=1)
def strides(answers, rng):
    """Strides"""
    x, kernel = rng.normal(size=11), rng.normal(size=4)
    expect_close(answers.slide(x, kernel, stride=2), slid(x, kernel, 2), "Every second position.")


@visible("middle", points=1)
def odd_number(answers, rng):
    """An odd number of values"""
    expect_close(answers.middle([5, 1, 3]), 3.0, "Sort first.")


@hidden("middle", points=1)
def drawn_values(answers, rng):
    """Drawn values"""
    values = rng.normal(size=2 * rng.integers(3, 9)).tolist()
    expect_close(answers.middle(values), np.median(values), "Two of them lie in the middle.")


@visible("size", points=2)
def size_of_row(answers, rng):
    """The size of the row"""
    expect_equal(answers.value("size"), 55, "Use the formula.")
'''

# What a student with all answers right writes, a cell for each question.
HONEST = {
    "add": "def add(a, b):\n    return a + b",
    "slide": """\
import numpy as np

def slide(x, kernel, stride=1):
    starts = range(0, len(x) - len(kernel) + 1, stride)
    return np.array([np.sum(x[i : i + len(kernel)] * kernel) for i in starts])""",
    "middle": """\
def middle(values):
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2""",
    "size": "size = (227 - 11) // 4 + 1",
}
FULL = {"add": 2.0, "slide": 4.0, "middle": 2.0, "size": 2.0}

KERAS_TOML = """\
title = "One small network"
minutes = 5
time_limit = 60
cell_time_limit = 20
memory_limit = 1500
preload = ["tensorflow", "keras"]

[[questions]]
name = "build"
title = "Build"
points = 4
time_limit = 10

[[questions]]
name = "add"
title = "Add"
points = 1
time_limit = 5
"""

KERAS_CHECKS = '''\
"""Checks of the tiny assignment with a network."""

import numpy as np

from course_cnn.grading import expect, expect_close, expect_equal, hidden, visible


@visible("build", points=1)
def its_layers(answers, rng):
    """Its layers"""
    model = answers.build()
    expect(model.kinds == ["Conv2D", "Flatten", "Dense"], "Three layers.")


@hidden("build", points=3)
def it_computes_what_it_shows(answers, rng):
    """It computes what it shows"""
    model = answers.build()
    expect(model.kinds == ["Conv2D", "Flatten", "Dense"], "Three layers.")
    expect(model.output_shape == [None, 10], "Ten classes.")
    x = rng.normal(size=(2, 8, 8, 1))
    expect_close(model.predict(x), model.recompute(x), "The layers shown do not compute this.", rtol=1e-3, atol=1e-4)


@hidden("add", points=1)
def drawn_sums(answers, rng):
    """Drawn numbers"""
    a, b = rng.integers(-1000, 1000, 2).tolist()
    expect_equal(answers.add(a, b), a + b, "Negative ones too.")
'''

KERAS_HONEST = {
    "build": """\
import keras

def build():
    return keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 3, activation="relu"), keras.layers.Flatten(),
        keras.layers.Dense(10)])""",
    "add": HONEST["add"],
}
KERAS_FULL = {"build": 4.0, "add": 1.0}


def code(*sources):
    """Code cells as Jupyter stores them."""
    return [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]


def notebook(cells):
    """A notebook as Jupyter stores it."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def text(*sources):
    """The text of a notebook file with these code cells."""
    return json.dumps(notebook(code(*sources)))


def write_tiny(folder):
    """Write the tiny assignment; return its folder."""
    return _write(folder / "tiny", "tiny", TOML, CHECKS, HONEST)


def write_keras(folder):
    """Write the tiny assignment with a network; return its folder."""
    return _write(folder / "network", "network", KERAS_TOML, KERAS_CHECKS, KERAS_HONEST)


def _write(folder, name, toml, checks, honest):
    folder.mkdir(parents=True)
    (folder / "assignment.toml").write_text(toml, encoding="utf-8")
    (folder / "checks.py").write_text(checks, encoding="utf-8")
    cells = []
    for question, source in honest.items():
        head, _, body = source.rpartition("\n") if "\n" in source else ("", "", source)
        indent = body[: len(body) - len(body.lstrip())]
        solution = f"{indent}### BEGIN SOLUTION\n{body}\n{indent}### END SOLUTION"
        cells += code(f"{head}\n{solution}" if head else solution)
        cells[-1]["id"] = question
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook(cells)), encoding="utf-8")
    return folder
