"""A scalar computational graph: values that remember how they were made, and send gradients back.

Every operation stores its result, what it was made from, and its local gradients: the slope of the result by each
parent. That is all that backpropagation needs.
"""

import itertools
import math
import numbers

import numpy as np

from course_cnn import _checks


class Value:
    """One number in a computational graph.

    Calculate with it as with a number: `+ - * / **`, and `exp() log() relu() tanh() sigmoid() maximum(other)`. Plain
    numbers may stand on either side. Each result is a new `Value` that knows its parents; `backward` walks that graph
    from the end to the beginning and fills in `grad` everywhere.

    The graph is fixed when it is computed. After changing `data` of a leaf, compute it again.

    Args:
        data: a finite real number.
        label: str, a name for drawings, such as "w1"; may be set later.

    Attributes:
        data: float. grad: float, the derivative of the last result `backward` was called on by this value; 0.0 before.
        parents: tuple of `Value`, empty for a leaf. slopes: tuple of float, the derivative of this value by each
        parent. op: str, the operation, "" for a leaf. label: str.

    Raises:
        ValueError: something that is not a number, or a result that is not finite or has no slope, such as log(0).

    Example:
        >>> x, w, b = Value(2.0, "x"), Value(3.0, "w"), Value(-1.0, "b")
        >>> y = (w * x + b) ** 2
        >>> y.backward()
        >>> y.data, w.grad, x.grad, b.grad
        (25.0, 20.0, 30.0, 10.0)

    Source: Goodfellow, Bengio & Courville, "Deep Learning", 2016, sections 6.5.1 to 6.5.3; the form follows Karpathy,
    "micrograd", 2020.
    """

    __slots__ = ("data", "grad", "label", "op", "parents", "slopes")
    __array_ufunc__ = None  # a NumPy number on the left lets Value's own operators do the work

    def __init__(self, data, label=""):
        self.data = _number("Value", data)
        self.grad, self.label, self.op, self.parents, self.slopes = 0.0, label, "", (), ()

    def __add__(self, other):
        other = _value(other)
        return _result("+", (self, other), lambda a, b: a + b, lambda a, b: (1, 1))

    def __sub__(self, other):
        other = _value(other)
        return _result("−", (self, other), lambda a, b: a - b, lambda a, b: (1, -1))

    def __mul__(self, other):
        other = _value(other)
        return _result("×", (self, other), lambda a, b: a * b, lambda a, b: (b, a))

    def __truediv__(self, other):
        other = _value(other)
        if other.data == 0:
            raise _checks.argument_error(
                "Value", "division by zero", "Divide by a value that is not 0, for example one with 1e-7 added",
                numerator=self.data, denominator=other.data,
            )  # fmt: skip
        return _result("÷", (self, other), lambda a, b: a / b, lambda a, b: (1 / b, -a / b**2))

    def __pow__(self, exponent):
        base = self.data
        if isinstance(exponent, Value):  # its own slope needs log(base)
            if base <= 0:
                raise _checks.argument_error(
                    "Value", "the base must be > 0 where the exponent is a Value, for the slope contains log(base)",
                    "Use a plain number as the exponent, or a positive base", base=base, exponent=exponent.data,
                )  # fmt: skip
            return _result(
                "^", (self, exponent), lambda a, b: a**b, lambda a, b: (b * a ** (b - 1), a**b * math.log(a))
            )
        exponent = _number("Value", exponent)
        whole = exponent == int(exponent)
        if (base == 0 and exponent < 1 and exponent != 0) or (base < 0 and not whole):
            raise _checks.argument_error(
                "Value", "this power has no finite value or no finite slope here",
                "Use a base > 0, or an exponent such as 1 or 2", base=base, exponent=exponent,
            )  # fmt: skip
        name = f"^{exponent:g}"
        return _result(name, (self,), lambda a: a**exponent, lambda a: (exponent and exponent * a ** (exponent - 1),))

    def __neg__(self):
        return _result("neg", (self,), lambda a: -a, lambda a: (-1,))

    def __radd__(self, other):
        return _value(other) + self

    def __rsub__(self, other):
        return _value(other) - self

    def __rmul__(self, other):
        return _value(other) * self

    def __rtruediv__(self, other):
        return _value(other) / self

    def __rpow__(self, other):
        return _value(other) ** self

    def exp(self):
        """Return e to the power of this value."""
        return _result("exp", (self,), math.exp, lambda a: (math.exp(a),))

    def log(self):
        """Return the natural logarithm; the value must be > 0."""
        if self.data <= 0:
            raise _checks.argument_error(
                "Value.log", "the logarithm needs a value > 0", "Take log of a probability that is not 0, or add 1e-12",
                data=self.data,
            )  # fmt: skip
        return _result("log", (self,), math.log, lambda a: (1 / a,))

    def relu(self):
        """Return max(0, value). At exactly 0 the slope is 0, as in TensorFlow."""
        return _result("relu", (self,), lambda a: max(0.0, a), lambda a: (float(a > 0),))

    def tanh(self):
        """Return the hyperbolic tangent, between -1 and 1."""
        return _result("tanh", (self,), math.tanh, lambda a: (1 - math.tanh(a) ** 2,))

    def sigmoid(self):
        """Return 1 / (1 + exp(-value)), between 0 and 1."""
        return _result("σ", (self,), _sigmoid, lambda a: (_sigmoid(a) * (1 - _sigmoid(a)),))

    def maximum(self, other):
        """Return the larger of two values. Its gradient goes to the winner; in a tie to this one, as in TensorFlow."""
        other = _value(other)
        return _result("max", (self, other), max, lambda a, b: (float(a >= b), float(a < b)))

    def backward(self):
        """Fill `grad` of every value in the graph with the derivative of this value by it.

        Starts from 1 here. Each value hands its gradient to its parents, times the local slope; a value that was used
        several times adds up what comes back. Nothing is left over from an earlier call: all gradients start at 0.

        Raises:
            ValueError: a gradient grows beyond what a float holds.
        """
        order = self.graph()
        for value in order:
            value.grad = 0.0
        self.grad = 1.0
        for value in reversed(order):
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                parent.grad += slope * value.grad
                if not math.isfinite(parent.grad):
                    raise _checks.argument_error(
                        "Value.backward", "a gradient is no longer a finite number",
                        "Look for large factors in a row, and use smaller values",
                        op=value.op, slope=slope, incoming=value.grad,
                    )  # fmt: skip

    def graph(self):
        """List every value this one was made from, each after its parents and once; this one is last."""
        order, seen, stack = [], set(), [(self, False)]
        while stack:  # a stack of our own: Python's would end at a chain of 1,000
            value, parents_done = stack.pop()
            if parents_done:
                order.append(value)
            elif id(value) not in seen:
                seen.add(id(value))
                stack.append((value, True))
                stack += [(parent, False) for parent in reversed(value.parents)]
        return order

    def draw(self, *, ax=None, title=None):
        """Draw the graph from left to right: boxes are values, circles are operations.

        A box has the value in its upper half and, once `backward` was called, the gradient in its lower half. A name,
        if the value has one, stands above.

        Args:
            ax: matplotlib Axes, or None for a new figure of the size the graph needs, at most 8 inches wide. Up to
                about nine operations in a row are readable at that width.
            title: str; None for no title.

        Returns:
            the Axes.
        """
        return _draw(self, ax, title)

    def __float__(self):
        return self.data

    def __repr__(self):
        name = f"{self.label}: " if self.label else ""
        return f"Value({name}{self.data:.6g}, grad {self.grad:.6g})"


def _number(function, data):
    """Return a real, finite number as a float, or raise."""
    ok = isinstance(data, (numbers.Real, np.number)) and not isinstance(data, (bool, complex, np.complexfloating))
    if not ok or not math.isfinite(data):
        shown, remedy = data, f"Use for example {function}(1.0)"
        if isinstance(data, np.ndarray):
            shown, remedy = f"array of shape {data.shape}", "Take one number of it, as x[0]"
        raise _checks.argument_error(function, "a value in the graph is one finite real number", remedy, data=shown)
    return float(data)


def _value(other):
    return other if isinstance(other, Value) else Value(other)


def _result(op, parents, function, slopes):
    """Make the value of an operation: `function` and its `slopes`, both at the parents' data."""
    numbers_in = [parent.data for parent in parents]
    try:
        data, local = function(*numbers_in), slopes(*numbers_in)
        finite = all(map(math.isfinite, (data, *local)))
    except (OverflowError, ZeroDivisionError):
        finite = False
    if not finite:
        raise _checks.argument_error(
            "Value", f"the result of {op!r} or its slope is not a finite number", "Use smaller values, nearer to 1",
            operands=tuple(numbers_in),
        )  # fmt: skip
    value = Value(data)
    value.op, value.parents, value.slopes = op, parents, tuple(map(float, local))
    return value


def _sigmoid(a):
    return 1 / (1 + math.exp(-a)) if a >= 0 else 1 - 1 / (1 + math.exp(a))  # exp cannot overflow either way


# Sizes of a drawing, in inches at full size.
BOX, CIRCLE, GAP, ROW = 0.56, 0.27, 0.17, 0.62
COLUMN = BOX + CIRCLE + GAP


def _draw(last, ax, title):
    """Place the values and draw them; see `Value.draw`."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Ellipse, Rectangle

    places, edges = _layout(last)
    x = np.array([place[0] for place in places.values()])
    y = np.array([place[1] for place in places.values()])
    width, height = (x.max() + 1) * COLUMN + 0.1, (np.ptp(y) + 1) * ROW + 0.1
    if ax is None:
        shown = min(1.0, 8 / width)
        figure = plt.figure(figsize=(width * shown, height * shown + 0.35 * bool(title)))
        ax = figure.add_axes((0, 0, 1, height * shown / figure.get_figheight()))
    else:
        area = ax.get_window_extent()
        shown = min(area.width / width, area.height / height) / ax.figure.dpi
        shown = min(shown, 1.3)
    ax.set(xlim=(0, width), ylim=(y.min() * ROW - 0.4 * ROW - 0.08, y.max() * ROW + 0.6 * ROW + 0.02), aspect="equal")
    ax.axis("off")
    ax.set_title(title) if title else None

    size, gradients = 8 * shown, any(value.grad for value in last.graph())
    half = 0.17  # height of one half of a box
    arrow = {"arrowstyle": "-|>,head_length=0.25,head_width=0.13", "color": "0.45", "lw": 0.9 * shown}
    arrow |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 14 * shown}

    def corner(value):
        column, row = places[value]
        return (column + 1) * COLUMN - BOX, row * ROW

    for path in edges:
        points = [corner(value) for value in path]
        (start_x, start_y), (end_x, end_y) = points[0], points[-1]
        route = [(start_x + BOX, start_y)]
        for middle_x, middle_y in points[1:-1]:  # passing by other boxes, level with a place that was kept free
            route += [(middle_x - CIRCLE - GAP / 2, middle_y), (middle_x + BOX, middle_y)]
        for (x0, y0), (x1, y1) in itertools.pairwise(route):
            ax.plot([x0, x1], [y0, y1], color="0.45", lw=0.9 * shown, solid_capstyle="round", zorder=1)
        centre = np.array([end_x - CIRCLE / 2 - 0.03, end_y])
        toward = centre - route[-1]
        edge = centre - toward / np.hypot(*toward) * CIRCLE / 2
        ax.annotate("", xy=edge, xytext=route[-1], arrowprops=arrow, zorder=1)

    for value in last.graph():
        left, middle = corner(value)
        bottom = middle - (half if gradients else half / 2)
        ax.add_patch(Rectangle((left, bottom), BOX, half, fc="#fdeedd", ec="none", zorder=2)) if gradients else None
        ax.add_patch(Rectangle((left, bottom + half * gradients), BOX, half, fc="#e3eefb", ec="none", zorder=2))
        ax.add_patch(Rectangle((left, bottom), BOX, half * (1 + gradients), fc="none", ec="0.3", lw=0.8, zorder=3))
        text = {"ha": "center", "va": "center_baseline", "fontsize": size, "zorder": 4}
        ax.text(left + BOX / 2, bottom + half * (gradients + 0.5), _short(value.data), color="#0b3d73", **text)
        if gradients:
            ax.text(left + BOX / 2, bottom + half / 2, _short(value.grad), color="#8a3b00", **text)
        if value.label:
            fitted = size * min(1, 10 / len(value.label))
            above = {"ha": "center", "va": "bottom", "fontsize": fitted, "style": "italic", "zorder": 4}
            ax.text(left + BOX / 2, bottom + half * (1 + gradients) + 0.02, value.label, **above)
        if value.op:
            centre = left - CIRCLE / 2 - 0.03, middle
            ax.add_patch(Ellipse(centre, CIRCLE, CIRCLE, fc="white", ec="0.3", lw=0.8, zorder=3))
            ax.text(*centre, value.op, **{**text, "fontsize": size * (1 if len(value.op) < 3 else 0.78)})
    return ax


def _short(number):
    """Write a number in at most 8 characters, with a real minus sign."""
    return f"{number:.3g}".replace("-", "−").replace("e−0", "e−").replace("e+0", "e")


def _layout(last):
    """Return ({value: (column, height)}, [path of each edge]) of the graph that ends in `last`.

    An operation stands one column to the right of its last parent, a leaf one to the left of its first child. A path
    longer than one column keeps a place free in every column it crosses. Within the columns the order follows the mean
    place of the neighbours, swept to and fro.
    """
    from scipy.optimize import isotonic_regression

    order = last.graph()
    column = {}
    for value in order:
        column[value] = 1 + max((column[parent] for parent in value.parents), default=-1)
    children = {value: [] for value in order}
    for value in order:
        for parent in dict.fromkeys(value.parents):
            children[parent].append(value)
    for value in order:
        if not value.parents and children[value]:
            column[value] = min(column[child] for child in children[value]) - 1

    edges = []
    for value in order:
        for parent in dict.fromkeys(value.parents):
            crossed = [(parent, value, c) for c in range(column[parent] + 1, column[value])]
            column |= {place: place[2] for place in crossed}
            edges.append([parent, *crossed, value])
    left, right = {place: [] for place in column}, {place: [] for place in column}
    for path in edges:
        for a, b in itertools.pairwise(path):
            right[a].append(b)
            left[b].append(a)

    columns = [[place for place in column if column[place] == c] for c in range(max(column.values()) + 1)]
    height = {place: -float(i) for places in columns for i, place in enumerate(places)}
    for sweep in range(24):
        forward = sweep % 2 == 0
        for places in columns if forward else columns[::-1]:
            sides = left if forward else right
            near = {p: [height[q] for q in (sides[p] or left[p] + right[p])] for p in places}
            wanted = {p: float(np.mean(near[p])) if near[p] else height[p] for p in places}
            places.sort(key=lambda p: -wanted[p])
            steps = np.arange(len(places))  # heights that fall by at least 1 from place to place, nearest to the wanted
            free = isotonic_regression([wanted[p] + i for i, p in enumerate(places)], increasing=False).x - steps
            height |= dict(zip(places, free.tolist(), strict=True))
    return {place: (column[place], height[place]) for place in column}, edges
