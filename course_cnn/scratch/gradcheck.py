"""Gradient checking: is the gradient that was worked out by hand the slope that the function has?"""

import math
from dataclasses import dataclass

import numpy as np

from course_cnn import _checks


@dataclass(frozen=True)
class GradientCheck:
    """What `check_gradient` found; true in an `if` or `assert` where it passed.

    passed: bool. error: float, the largest relative error. at: tuple of int, the index where it is. gradient,
    numerical: float, the two numbers that stand there. tolerance: float, what the error was compared with.
    """

    passed: bool
    error: float
    at: tuple
    gradient: float
    numerical: float
    tolerance: float = 1e-6

    def __bool__(self):
        return self.passed

    def __repr__(self):
        word, sign = ("passed", "<=") if self.passed else ("FAILED", ">")
        return (
            f"GradientCheck {word}: largest relative error {self.error:.1e} {sign} {self.tolerance:.0e}, "
            f"at {self.at}: gradient {self.gradient:.9g}, central difference {self.numerical:.9g}"
        )


def numerical_gradient(f, x, *, step=1e-5):
    """Measure the slope of f in every direction by central differences, (f(x + step) - f(x - step)) / (2 step).

    Only in float64. The difference of two nearly equal numbers loses their leading digits: with a step of 1e-5, about
    1e-16 / 1e-5 = 1e-11 of f is left as noise in float64, but 1e-7 / 1e-5 = 1 % of f in float32.

    Args:
        f: function from an array like x to one number. Called twice for each number in x.
        x: float64 array of any shape; not changed.
        step: float > 0, in units of x. The error of the method itself shrinks as step ** 2, the rounding grows as
            1 / step; 1e-5 suits values around 1.

    Returns:
        float64 array, the shape of x.

    Raises:
        ValueError: x is not float64 or not finite, step is not above 0, or f does not return one finite number.

    Example:
        >>> numerical_gradient(lambda x: (x**2).sum(), np.array([1.0, 2.0])).round(6)
        array([2., 4.])

    Source: Press et al., "Numerical Recipes", 3rd edition, 2007, section 5.7.
    """
    return _differences("numerical_gradient", f, x, step)[0]


def check_gradient(f, x, gradient, *, step=1e-5, tolerance=1e-6):
    """Compare a gradient with central differences of f at x.

    The relative error of an entry is |gradient - numerical| over the larger of the two, or over a hundredth of the
    largest entry of all where both are smaller than that. What rounding explains, a few 1e-16 of f over the step, is
    not counted as an error.

    At a kink (ReLU at 0, a tie in max pooling) there are two slopes and central differences take their mean: a check
    that fails in one entry only may stand on a kink. Move x a little and check again.

    Args:
        f: function from an array like x to one number.
        x: float64 array of any shape; not changed.
        gradient: float array, the shape of x: the gradient of f by x that is to be checked.
        step: float > 0, in units of x.
        tolerance: float > 0, the largest relative error that passes.

    Returns:
        `GradientCheck(passed, error, at, gradient, numerical, tolerance)`.

    Raises:
        ValueError: as for `numerical_gradient`; or `gradient` has not the shape of x, or is not finite.

    Example:
        >>> x = np.array([1.0, 2.0])
        >>> check_gradient(lambda x: (x**2).sum(), x, 2 * x).passed
        True
        >>> check_gradient(lambda x: (x**2).sum(), x, np.array([2.0, 5.0]))
        GradientCheck FAILED: largest relative error 2.0e-01 > 1e-06, at (1,): gradient 5, central difference 4

    Source: Goodfellow, Bengio & Courville, "Deep Learning", 2016, section 11.5 ("Compare back-propagated derivatives
    to numerical derivatives").
    """
    gradient = np.asarray(gradient)
    _checks.positive("check_gradient", "tolerance", tolerance, 1e-6)
    numerical, rounding = _differences("check_gradient", f, x, step)
    if gradient.shape != numerical.shape:
        raise _checks.argument_error(
            "check_gradient", "`gradient` must have the shape of `x`", f"Return a gradient of shape {numerical.shape}",
            **{"gradient.shape": gradient.shape, "x.shape": numerical.shape},
        )  # fmt: skip
    wrong = np.argwhere(~np.isfinite(gradient))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise _checks.argument_error(
            "check_gradient", f"`gradient` must be finite, {len(wrong)} of its {gradient.size} numbers are not",
            "Look for an overflow, a log of 0 or a division by 0 in the backward pass", at=at, gradient=gradient[at],
        )  # fmt: skip

    size = np.maximum(abs(gradient), abs(numerical))
    difference = np.maximum(abs(gradient - numerical) - rounding, 0)
    errors = difference / np.maximum(np.maximum(size, 0.01 * size.max(initial=0)), np.finfo(float).tiny)
    at = tuple(int(i) for i in np.unravel_index(errors.argmax(), errors.shape))
    error = float(errors[at])
    return GradientCheck(error <= tolerance, error, at, float(gradient[at]), float(numerical[at]), tolerance)


def _differences(function, f, x, step):
    """Return (central differences, the rounding to be expected in them)."""
    _checks.positive(function, "step", step, 1e-5)
    if getattr(x, "dtype", None) != np.float64:
        raise _checks.argument_error(
            function, "`x` must be a float64 array: float32 leaves too few digits for a difference",
            "Convert it and everything f uses: x.astype('float64')",
            dtype=getattr(getattr(x, "dtype", None), "name", type(x).__name__),
        )  # fmt: skip
    if not np.isfinite(x).all() or x.size == 0:
        raise _checks.argument_error(
            function, "`x` must hold at least one number and finite ones only", "Start from finite values",
            **{"x.shape": x.shape},
        )  # fmt: skip
    x, gradient, largest = x.copy(), np.zeros(x.shape), 0.0
    for index in np.ndindex(x.shape):
        old, values = x[index], []
        for moved in (old + step, old - step):
            x[index] = moved
            values.append(_number(function, f(x.copy())))
        x[index] = old
        gradient[index] = (values[0] - values[1]) / ((old + step) - (old - step))  # the step that was really taken
        largest = max(largest, *map(abs, values))
    return gradient, 16 * np.finfo(float).eps * largest / step


def _number(function, value):
    """Return what f returned as a float, or raise."""
    try:
        number = float(np.reshape(value, ())) if np.size(value) == 1 else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        shown = value if np.size(value) == 1 else f"array of shape {np.shape(value)}"
        raise _checks.argument_error(
            function, "`f` must return one finite number", "Sum up an array, as (y * dy).sum()",
            **{"f(x)": shown},
        )  # fmt: skip
    return number
