"""The scalar graph against TensorFlow and central differences; its drawing by where things stand."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.patches import Ellipse

from course_cnn.scratch import Value, check_gradient

OPERATIONS = {  # of two leaves a, b > 0: with Value, with TensorFlow
    "+": (lambda a, b: a + b, lambda a, b: a + b),
    "-": (lambda a, b: a - b, lambda a, b: a - b),
    "*": (lambda a, b: a * b, lambda a, b: a * b),
    "/": (lambda a, b: a / b, lambda a, b: a / b),
    "**": (lambda a, b: a**b, lambda a, b: a**b),
    "numbers right": (lambda a, b: ((a + 2) * 3 - 1) / 4 + b**3, lambda a, b: ((a + 2) * 3 - 1) / 4 + b**3),
    "numbers left": (lambda a, b: 1 - 2 / a + 3 * b + 2**b + (4 + a), lambda a, b: 1 - 2 / a + 3 * b + 2**b + (4 + a)),
    "neg": (lambda a, b: -a * b, lambda a, b: -a * b),
    "exp": (lambda a, b: (a * b).exp(), lambda a, b: tf.exp(a * b)),
    "log": (lambda a, b: (a * b).log(), lambda a, b: tf.math.log(a * b)),
    "relu": (lambda a, b: (a - b).relu() + a, lambda a, b: tf.nn.relu(a - b) + a),
    "tanh": (lambda a, b: (a - b).tanh(), lambda a, b: tf.tanh(a - b)),
    "sigmoid": (lambda a, b: (a - b).sigmoid(), lambda a, b: tf.sigmoid(a - b)),
    "maximum": (lambda a, b: a.maximum(b) * a, lambda a, b: tf.maximum(a, b) * a),
    "maximum with a number": (lambda a, b: a.maximum(1.5) * b, lambda a, b: tf.maximum(a, 1.5) * b),
    "square root": (lambda a, b: a**0.5 + b**-1, lambda a, b: a**0.5 + b**-1),
    "reuse": (lambda a, b: (a * a + a) * (a * a) - b * a, lambda a, b: (a * a + a) * (a * a) - b * a),
}


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=20, deadline=None)
@given(a=st.floats(0.1, 3), b=st.floats(0.1, 3))
def test_operations_match_tensorflow(name, a, b):
    ours, theirs = OPERATIONS[name]
    values = Value(a), Value(b)
    result = ours(*values)
    result.backward()
    variables = tf.Variable(a, dtype=tf.float64), tf.Variable(b, dtype=tf.float64)
    with tf.GradientTape() as tape:
        want = theirs(*variables)
    slopes = tape.gradient(want, variables, unconnected_gradients="zero")
    assert result.data == pytest.approx(float(want), rel=1e-12)
    assert [v.grad for v in values] == pytest.approx([float(s) for s in slopes], rel=1e-10, abs=1e-12)
    assert [v.data for v in values] == [a, b]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 25))
def test_drawn_graphs_against_central_differences(seed, steps):
    x = np.random.default_rng(seed).uniform(-2, 2, size=3)

    def build(numbers):
        """The same random graph each time: every new value is made of earlier ones, used as often as it comes."""
        rng, values = np.random.default_rng(seed), [Value(n) for n in numbers]
        for _ in range(steps):
            a, b = (values[i] for i in rng.integers(0, len(values), 2))
            makers = (a + b, a - b, a * 0.5 * b, a.tanh(), (a * b).sigmoid(), -a, 0.3 * a + 1, a**2 * 0.2)
            values.append(makers[rng.integers(0, len(makers))])
        leaves, end = values[:3], sum(values[3:], start=values[0].tanh())
        return leaves, end

    leaves, end = build(x)
    assume(abs(end.data) < 1e6)
    end.backward()
    assert check_gradient(lambda x: build(x)[1].data, x, np.array([leaf.grad for leaf in leaves]))


def lecture_graph():
    """The worked graph of lecture 04: grads 8, 8, 16, 4 as printed there."""
    x, t = Value(1, "x"), Value(1, "t")
    w1, b1, w2, b2 = (Value(n, name) for n, name in ((3, "w1"), (1, "b1"), (2, "w2"), (-5, "b2")))
    loss = ((w1 * x + b1).relu() * w2 + b2 - t) ** 2
    loss.label = "L"
    return loss, (w1, b1, w2, b2)


def test_the_lecture_graph():
    loss, parameters = lecture_graph()
    loss.backward()
    assert loss.data == 4
    assert [p.grad for p in parameters] == [8, 8, 16, 4]


def test_backward_starts_afresh():
    loss, parameters = lecture_graph()
    for _ in range(3):
        loss.backward()
    assert [p.grad for p in parameters] == [8, 8, 16, 4]
    parameters[0].backward()
    assert parameters[0].grad == 1


def test_parents_op_slopes():
    a, b = Value(2, "a"), Value(5, "b")
    c = a * b
    assert c.parents == (a, b)
    assert (c.op, c.slopes, a.op, a.parents) == ("×", (5, 2), "", ())
    assert (c + 1).graph()[-2].data == 1
    assert repr(a) == "Value(a: 2, grad 0)"
    assert repr(c) == "Value(10, grad 0)"
    assert float(c) == 10


def test_a_chain_longer_than_the_recursion_limit():
    value = start = Value(1.0)
    for _ in range(20_000):
        value = value + 1e-4
    value.backward()
    assert start.grad == 1
    assert len(value.graph()) == 40_001


@pytest.mark.parametrize("number", [np.float64(3), np.float32(3), np.int64(3), 3])
def test_numpy_numbers_on_both_sides(number):
    a = Value(2.0)
    for result in (number * a, a * number):
        assert isinstance(result, Value)
        assert result.data == 6


def test_kinks_as_in_tensorflow():
    a, b = Value(0.0), Value(0.0)
    (a.relu() + 3 * a.maximum(b)).backward()
    variables = tf.Variable(0.0), tf.Variable(0.0)
    with tf.GradientTape() as tape:
        y = tf.nn.relu(variables[0]) + 3 * tf.maximum(*variables)
    assert [a.grad, b.grad] == [float(g) for g in tape.gradient(y, variables)] == [3, 0]


def test_extreme_sigmoids():
    assert Value(1000).sigmoid().data == 1
    assert Value(-1000).sigmoid().data == 0
    assert Value(-3).sigmoid().data == pytest.approx(1 / (1 + math.exp(3)))


@pytest.mark.parametrize("data", ["3", None, True, 1j, [1.0], math.nan, math.inf, np.ones(2), np.complex128(1)])
def test_what_is_not_a_number(data):
    for make in (lambda: Value(data), lambda: Value(1.0) + data, lambda: Value(1.0).maximum(data)):
        with pytest.raises(ValueError, match="one finite real number"):
            make()
    with pytest.raises(ValueError, match=r"shape \(2,\)\'\)\. Take one number of it, as x\[0\]"):
        Value(1.0) * np.ones(2)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Value(1) / 0, "division by zero .*denominator=0"),
        (lambda: 1 / Value(0), "division by zero"),
        (lambda: Value(0).log(), "needs a value > 0"),
        (lambda: Value(-1).log(), "needs a value > 0"),
        (lambda: Value(0) ** -1, "no finite value or no finite slope"),
        (lambda: Value(0) ** 0.5, "no finite value or no finite slope"),
        (lambda: Value(-2) ** 0.5, "no finite value or no finite slope"),
        (lambda: Value(-2) ** Value(2), "the base must be > 0"),
        (lambda: 0 ** Value(2), "the base must be > 0"),
        (lambda: Value(1000).exp(), "'exp' or its slope is not a finite number"),
        (lambda: Value(1e200) * 1e200, "'×' or its slope"),
        (lambda: Value(1e-200) ** -2, "or its slope"),
        (lambda: 1 / Value(1e-200), "'÷' or its slope"),
    ],
)
def test_results_that_are_not_finite(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_remedies():
    assert (Value(0) + 1e-7).data == (1 / (1 / (Value(0) + 1e-7))).data
    assert (Value(-2) ** 2).data == 4
    assert (Value(0) ** 0).data == 1
    (Value(0) ** 0).backward()
    assert (Value(0) + 1e-12).log().data < -27


def test_a_gradient_that_overflows():
    a = Value(1e-300)
    loss = (a * 1e200) * 1e200
    loss = loss * 1e-100
    with pytest.raises(ValueError, match="a gradient is no longer a finite number"):
        (loss * 1e200 * 1e100).backward()


def boxes_and_circles(ax):
    """Rectangles with a border and circles, as (left, bottom, right, top) in data units."""
    for patch in ax.patches:
        if patch.get_linewidth() and patch.get_edgecolor()[3]:
            box = patch.get_extents().transformed(ax.transData.inverted())
            yield box.x0, box.y0, box.x1, box.y1


def random_graph(seed, size):
    rng, values = np.random.default_rng(seed), [Value(n + 0.5, f"x{n}") for n in range(3)]
    while True:
        a, b = (values[-1 - int(rng.integers(0, min(5, len(values))))] for _ in range(2))
        values.append((a + b) if rng.random() < 0.5 else (a * 0.1).tanh() if rng.random() < 0.5 else a * b)
        end = sum(values[-3:], start=Value(0.1))
        if len(end.graph()) >= size:
            return end


@pytest.mark.parametrize("seed, size", list(itertools.product(range(6), (1, 15, 30))))
def test_drawing_overlaps_nowhere(seed, size):
    end = random_graph(seed, size)
    end.backward()
    ax = end.draw()
    ax.figure.canvas.draw()
    nodes = end.graph()
    shapes = list(boxes_and_circles(ax))
    assert len(shapes) == len(nodes) + sum(bool(value.op) for value in nodes)
    for (l0, b0, r0, t0), (l1, b1, r1, t1) in itertools.combinations(shapes, 2):
        assert r0 <= l1 + 1e-9 or r1 <= l0 + 1e-9 or t0 <= b1 + 1e-9 or t1 <= b0 + 1e-9
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    for l, b, r, t in shapes:
        assert left <= l < r <= right
        assert bottom <= b < t <= top
    assert ax.figure.get_figwidth() <= 8 + 1e-9


def test_lines_pass_no_box():
    """A value used late keeps a place free in every column it crosses."""
    a, b = Value(0.3, "a"), Value(-1.2, "b")
    end = ((a * b + 2).tanh() * (a * 2 - b).sigmoid() + a).relu() * a
    ax = end.draw()
    boxes = [box for box in boxes_and_circles(ax) if box[2] - box[0] > 0.4]
    arrows = [np.transpose([note.xyann, note.xy]) for note in ax.texts if hasattr(note, "xyann")]
    lines = [line.get_data() for line in ax.lines]
    assert len(arrows) == sum(len(set(value.parents)) for value in end.graph())
    for ends in arrows + lines:
        x, y = (np.linspace(*along, 50)[1:-1] for along in ends)
        for l, bottom, r, top in boxes:
            assert not ((x > l + 1e-6) & (x < r - 1e-6) & (y > bottom) & (y < top)).any()


def test_drawing_says_the_numbers():
    loss, _ = lecture_graph()
    before = {text.get_text() for text in loss.draw().texts}
    assert {"w1", "b2", "L", "3", "−5", "relu", "^2", "×"} <= before
    assert "16" not in before  # no gradients yet
    loss.backward()
    ax = loss.draw(title="worked graph")
    assert ax.get_title() == "worked graph"
    assert {"8", "16", "−4"} <= {text.get_text() for text in ax.texts}


def test_numbers_stand_in_their_box_the_value_above_the_gradient():
    a = Value(3, "a")
    end = a * 7
    end.backward()  # the boxes hold 3 over 7, 7 over 3, and 21 over 1
    ax = end.draw()
    boxes = [box for box in boxes_and_circles(ax) if box[2] - box[0] > 0.4]
    found = []
    for l, bottom, r, top in boxes:
        texts = [text for text in ax.texts if text.get_text().isdigit() and l < text.get_position()[0] < r]
        inside = [text for text in texts if bottom < text.get_position()[1] < top]
        found.append(tuple(t.get_text() for t in sorted(inside, key=lambda t: -t.get_position()[1])))
    assert sorted(found) == [("21", "1"), ("3", "7"), ("7", "3")]


def test_drawing_on_given_axes():
    loss, _ = lecture_graph()
    _, axes = plt.subplots(1, 2, figsize=(8, 3))
    assert loss.draw(ax=axes[1]) is axes[1]
    sizes = {text.get_fontsize() for text in axes[1].texts if text.get_text()}
    assert max(sizes) < 5  # half the width, half the letters
    assert not axes[0].patches


def test_arrows_lead_from_parents_to_children():
    a, b = Value(1, "a"), Value(2, "b")
    ax = (a * b).draw()
    ends = [(np.array(note.xyann), np.array(note.xy)) for note in ax.texts if hasattr(note, "xyann")]
    circle = next(patch for patch in ax.patches if isinstance(patch, Ellipse))
    assert len(ends) == 2
    for start, end in ends:
        assert start[0] < end[0]
        assert np.hypot(*(end - circle.get_center())) == pytest.approx(circle.get_width() / 2)
        assert end[0] < circle.get_center()[0]
    assert circle.get_center()[1] == pytest.approx((ends[0][0][1] + ends[1][0][1]) / 2)  # half-way between both
