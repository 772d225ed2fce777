"""What an author of an assignment writes with: checks, and the expectations inside them.

A check is a function `(answers, rng)` in an assignment's `checks.py`. It runs in the grader, never beside the
student's code: `answers.conv2d(x, kernel)` crosses to the student's process as plain data and its value comes back the
same way, so there is nothing in a check that an answer could patch, read or walk to.

A message teaches and never prints the expected answer: what came and where to look, not what should have come.
"""

import importlib.util
import inspect
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_cnn import _checks

REGISTRY = "_course_cnn_checks"  # the list that the decorators keep in the module they are used in


@dataclass(frozen=True)
class Check:
    """One check: `function(answers, rng)`, the question it belongs to, its points, and whether students see it."""

    question: str
    function: object
    points: float
    hidden: bool

    @property
    def name(self):
        """The function's name, unique within the assignment."""
        return self.function.__name__

    @property
    def title(self):
        """What a student reads: the first line of the docstring."""
        return (inspect.getdoc(self.function) or self.name).splitlines()[0]


class Failed(Exception):
    """An expectation was not met; its text is what the student reads."""


class AnswerError(Failed):
    """A question was asked and no value came back: the answer raised, is missing, or cannot cross as plain data."""

    def __init__(self, message, kind=None):
        super().__init__(message)
        self.kind = kind  # the name of the exception that the student's code raised, if it did


class WorkerLost(AnswerError):
    """The student's process is gone: it hung, crashed or broke a limit. The question at hand is lost with it."""


def visible(question, *, points):
    """Mark a function `(answers, rng)` as a check that students run themselves with `course-cnn check`.

    Args:
        question: str, the question's name in `assignment.toml`.
        points: number >= 0, what passing is worth. The checks of a question add up to its points.

    Returns:
        A decorator that leaves the function as it is and adds it to the checks of its module.

    Raises:
        ValueError: points are not a finite number >= 0.

    Example:
        >>> @visible("output_size", points=1)
        ... def seven_by_three(answers, rng):
        ...     "A row of 7 pixels, a kernel of 3."
        ...     expect_equal(answers.output_size(7, 3), 5, "Where can the left edge of the kernel stand?")
    """
    return _mark("visible", question, points, hidden=False)


def hidden(question, *, points):
    """Mark a function `(answers, rng)` as a check that only the instructor runs; else as `visible`.

    Not one byte of it goes into what `course-cnn release` writes. Draw its inputs from `rng`, which differs from one
    grading to the next, so that an answer cannot hold prepared results.
    """
    return _mark("hidden", question, points, hidden=True)


def _mark(decorator, question, points, *, hidden):
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points < math.inf:
        raise _checks.argument_error(
            decorator, "`points` must be a finite number >= 0", "Use for example points=1", points=points
        )

    def add(function):
        module = sys.modules.get(function.__module__)
        registry = vars(module).setdefault(REGISTRY, []) if module else []
        registry.append(Check(question, function, points, hidden))
        return function

    return add


def load_checks(path):
    """Run an assignment's `checks.py` and return its checks, `[Check, …]`, in the order of the file.

    Only ever called with an instructor's file, or with the visible checks beside a student's own notebook.
    """
    name = f"_course_cnn_checks_{abs(hash(str(Path(path).resolve()))):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # no surprise __pycache__ beside the assignment
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = keep
        del sys.modules[name]
    return list(vars(module).get(REGISTRY, []))


def expect(condition, hint):
    """Fail with `hint` unless `condition` is true.

    Example:
        >>> expect(2 > 1, "never shown")
        >>> expect(1 > 2, "Compare the first number with the second.")
        Traceback (most recent call last):
        course_cnn.grading.checks.Failed: Compare the first number with the second.
    """
    if not condition:
        raise Failed(hint)


def expect_equal(got, want, hint):
    """Fail unless `got` is the same value as `want`: numbers by value, text by text, lists and tuples item by item.

    A whole number may come as an int, a float or a NumPy scalar; True and False count as numbers only where a truth
    value is wanted.

    Args:
        got: what the answer returned.
        want: the right value; never shown.
        hint: str, what to think about; shown after what came.

    Example:
        >>> expect_equal(3.0, 3, "…")
        >>> expect_equal(4, 3, "Round down.")
        Traceback (most recent call last):
        course_cnn.grading.checks.Failed: Your answer was 4. Round down.
    """
    if not _same(got, want):
        raise Failed(f"Your answer was {_shown(got)}. {hint}")


def expect_close(got, want, hint, *, rtol=1e-6, atol=1e-9):
    """Fail unless `got` is an array (or number) of the shape of `want` with numbers close to it.

    Args:
        got: what the answer returned: an array, a number, or nested lists of numbers.
        want: array or number, the right values; never shown.
        hint: str, what to think about; shown after what is wrong.
        rtol, atol: numbers, |got - want| <= atol + rtol * |want|.

    Example:
        >>> expect_close([1.0, 2.0], np.array([1.0, 2.0]), "…")
        >>> expect_close([1.0, 7.0], np.array([1.0, 2.0]), "Mind the border.")
        Traceback (most recent call last):
        course_cnn.grading.checks.Failed: 1 of 2 numbers is wrong, the first one at [1]. Mind the border.
    """
    want = np.asarray(want)
    got = _numbers(got, hint)
    if got.shape != want.shape:
        raise Failed(f"Your answer has the shape {got.shape}, which is not the right one. {hint}")
    good = np.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
    if not good.all():
        wrong, size = int((~good).sum()), good.size
        nan = int((np.isnan(got) & ~good).sum())
        if got.ndim == 0:
            text = "Your answer is not a number (NaN)." if nan else f"Your answer was {_shown(got[()])}."
        else:
            first = [int(i) for i in np.argwhere(~good)[0]]
            text = f"{wrong} of {size} numbers {'is' if wrong == 1 else 'are'} wrong, the first one at {first}."
            text += f" {nan} of them {'is' if nan == 1 else 'are'} NaN." if nan else ""
        raise Failed(f"{text} {hint}")


def expect_raises(call, kind, hint):
    """Fail unless `call()`, which asks an answer, makes the student's code raise an exception named `kind`.

    Example:
        >>> def call():
        ...     raise AnswerError("output_size raised ValueError: too big", kind="ValueError")
        >>> expect_raises(call, "ValueError", "…")
        >>> expect_raises(lambda: 5, "ValueError", "This kernel does not fit.")
        Traceback (most recent call last):
        course_cnn.grading.checks.Failed: No error was raised; your answer was 5. This kernel does not fit.
    """
    try:
        got = call()
    except WorkerLost:
        raise
    except AnswerError as error:
        if error.kind == kind:
            return
        raise Failed(f"{error} {hint}") from None
    raise Failed(f"No error was raised; your answer was {_shown(got)}. {hint}")


class Answers:
    """The answers of one submission, by name: `answers.conv2d(x, kernel)` asks the student's function.

    Args:
        ask: callable (operation, name, args, kwargs) -> value, the way to the student's process.
    """

    def __init__(self, ask):
        self._ask = ask

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._ask("call", name, args, kwargs)

    def value(self, name):
        """Return the value of a variable of the notebook."""
        return self._ask("value", name, (), {})


def _same(got, want):
    if isinstance(want, list | tuple):
        got = got.tolist() if isinstance(got, np.ndarray) and got.ndim else got
        return isinstance(got, list | tuple) and len(got) == len(want) and all(map(_same, got, want))
    if isinstance(want, np.ndarray):
        return isinstance(got, np.ndarray) and got.shape == want.shape and bool((got == want).all())
    if isinstance(want, bool | np.bool_):
        return isinstance(got, bool | np.bool_) and bool(got) == bool(want)
    if isinstance(want, int | float | np.number):
        if isinstance(got, np.ndarray) and got.ndim == 0:
            got = got[()]
        return isinstance(got, int | float | np.number) and not isinstance(got, bool) and bool(got == want)
    return type(got) is type(want) and got == want


def _numbers(got, hint):
    """Return an answer as a numeric array, or say in the student's words what it is instead."""
    if got is None:
        raise Failed(f"Nothing came back (None): is there a `return`? {hint}")
    try:
        array = np.asarray(got)
    except ValueError:  # ragged lists
        array = np.asarray(None)
    if array.dtype.kind not in "biufc":
        raise Failed(f"Your answer was {_shown(got)}, where numbers are wanted. {hint}")
    return array


def _shown(value):
    """A short text for what came."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}"
    if isinstance(value, np.ndarray | np.generic):
        value = value[()].item() if value.dtype.kind in "biufc" else str(value)
    if value is None:
        return "None"
    text = repr(value)
    return text if len(text) <= 80 else f"{type(value).__name__} {text[:77]}..."
