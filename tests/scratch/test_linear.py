"""Perceptrons and softmax regression against scikit-learn, TensorFlow and updates worked out by hand."""

import re

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Perceptron as TheirPerceptron

from course_cnn import scratch
from course_cnn._tensorflow import tf
from course_cnn.scratch import MulticlassPerceptron, Perceptron, SoftmaxRegression

MODELS = [Perceptron, MulticlassPerceptron, SoftmaxRegression]


def separable(seed, n=60, d=2, margin=0.5):
    """Points with labels -1 and +1 and nobody within `margin` of the line; returns the line (weights, bias) too."""
    rng = np.random.default_rng(seed)
    line = rng.normal(size=d + 1)
    line /= np.linalg.norm(line)
    x = 3 * rng.normal(size=(n, d))
    distance = x @ line[:-1] + line[-1]
    keep = abs(distance) >= margin
    return x[keep], np.where(distance[keep] > 0, 1, -1), line


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), d=st.integers(1, 4), overlap=st.booleans(), epochs=st.integers(1, 20))
def test_perceptron_matches_sklearn(seed, d, overlap, epochs):
    x, y, _ = separable(seed, d=d)
    if overlap:
        y[:3] *= -1
    ours = Perceptron(epochs).fit(x, y)
    passes = len(ours.mistakes)  # scikit-learn goes on after an epoch without a mistake, changing nothing
    theirs = TheirPerceptron(shuffle=False, tol=None, max_iter=passes).fit(x, y) if len(set(y)) == 2 else None
    if theirs is not None:
        np.testing.assert_allclose(ours.weights, theirs.coef_[0], atol=1e-9)
        assert ours.bias == pytest.approx(theirs.intercept_[0])
        np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    assert ours.converged == (ours.mistakes[-1] == 0) == (passes < epochs or ours.mistakes[-1] == 0)
    assert 0 not in ours.mistakes[:-1]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), order=st.sampled_from([None, 0, 1]))
def test_perceptron_keeps_to_the_bound(seed, order):
    """Novikoff: at most (R / gamma)² mistakes, in the space with one more axis, always 1, for the bias (F043)."""
    x, y, line = separable(seed)
    model = Perceptron(epochs=10_000, seed=order).fit(x, y)
    rows = np.c_[x, np.ones(len(x))]
    gamma = (y * (rows @ line)).min()
    assert gamma >= 0.5
    assert model.converged
    assert sum(model.mistakes) <= (rows**2).sum(axis=1).max() / gamma**2
    np.testing.assert_array_equal(model.predict(x), y)


def test_perceptron_by_hand():
    x, y = np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([1, -1])
    model = Perceptron(1).fit(x, y)
    # Score 0: a mistake, w = (1, 2), b = 1. Score 2 + 2 + 1 = 5 for class -1: a mistake, w = (-1, 1), b = 0.
    np.testing.assert_array_equal(model.weights, [-1, 1])
    assert (model.bias, model.mistakes, model.converged) == (0, [2], False)
    np.testing.assert_array_equal(model.predict(np.array([[0.0, 3.0], [1.0, 1.0]])), [1, -1])  # a score of 0 is -1


def test_zero_labels_would_never_correct_class_0():
    """F042, and the remedy."""
    x, y, _ = separable(3)
    y = (y + 1) // 2
    assert set(y) == {0, 1}
    with pytest.raises(ValueError, match=r"class 0 would never be corrected. Relabel: 2 \* y - 1") as caught:
        Perceptron().fit(x, y)
    assert str(caught.value).startswith("Perceptron.fit: labels must be -1 or +1 (np.unique(y)=[0, 1]).")
    assert Perceptron().fit(x, 2 * y - 1).converged
    unsigned = y.astype("uint8")  # 2 * 0 - 1 would be 255
    with pytest.raises(ValueError, match=r"Relabel: 2 \* y.astype\(int\) - 1"):
        Perceptron().fit(x, unsigned)
    assert Perceptron().fit(x, 2 * unsigned.astype(int) - 1).converged
    other = np.where(y == 0, 3, 8)
    with pytest.raises(ValueError, match=re.escape("np.where(y == y[0], 1, -1)")):
        Perceptron().fit(x, other)
    assert Perceptron().fit(x, np.where(other == other[0], 1, -1)).converged
    assert Perceptron().fit(x, (2 * y - 1).astype(float)).converged


def test_multiclass_perceptron_by_hand():
    """F041: the true class gains x, the one that was named loses it, the others stay."""
    x, y = np.array([[1.0, 2.0], [0.5, 3.0]]), np.array([2, 2])
    model = MulticlassPerceptron(1).fit(x, y)
    np.testing.assert_array_equal(model.weights, [[-1, 0, 1], [-2, 0, 2]])
    np.testing.assert_array_equal(model.bias, [-1, 0, 1])
    assert model.mistakes == [1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), d=st.integers(1, 4))
def test_two_classes_are_the_perceptron(seed, d):
    """Its class 1 has the two-class weights, its class 0 the same with the other sign."""
    x, y, _ = separable(seed, d=d)
    assume(1 in y)
    first = np.argsort(-y, kind="stable")[0]  # start with class 1: at a score of 0 the two rules differ on class 0
    x, y = np.r_[x[[first]], x], np.r_[y[first], y]
    two, many = Perceptron(20).fit(x, y), MulticlassPerceptron(20).fit(x, (y + 1) // 2)
    np.testing.assert_allclose(many.weights, np.c_[-two.weights, two.weights], atol=1e-9)
    np.testing.assert_allclose(many.bias, [-two.bias, two.bias])
    assert (many.mistakes, many.converged) == (two.mistakes, two.converged)


@pytest.mark.parametrize("batch_size, weight_penalty", [(None, 0.0), (7, 0.0), (7, 0.02)])
def test_softmax_regression_matches_tf(batch_size, weight_penalty):
    """The same steps, with TensorFlow's gradients."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.integers(0, 4, size=20)
    y[0] = 3
    settings = dict(batch_size=batch_size, weight_penalty=weight_penalty, seed=4)
    model = SoftmaxRegression(0.3, 5, **settings).fit(x, y)
    weights, bias = tf.Variable(np.zeros((3, 4))), tf.Variable(np.zeros(4))
    order, size, losses = np.random.default_rng(4), batch_size or 20, []
    for _ in range(5):
        rows = order.permutation(20)
        for first in range(0, 20, size):
            batch = rows[first : first + size]
            with tf.GradientTape() as tape:
                scores = x[batch] @ weights + bias
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y[batch], scores))
                loss += weight_penalty * tf.nn.l2_loss(weights)
            losses.append(float(loss))
            for variable, gradient in zip((weights, bias), tape.gradient(loss, (weights, bias)), strict=True):
                variable.assign_sub(0.3 * gradient)
    np.testing.assert_allclose(model.weights, weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.bias, bias, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.losses, np.mean(np.reshape(losses, (5, -1)), axis=1), rtol=1e-10)
    np.testing.assert_allclose(model.predict_proba(x), tf.nn.softmax(x @ weights + bias), rtol=1e-10)


def test_softmax_regression_finds_the_valley_of_sklearn():
    x, y = sklearn.datasets.load_iris(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    model = SoftmaxRegression(1.0, 2000, batch_size=None, weight_penalty=0.02).fit(x, y)
    theirs = LogisticRegression(C=1 / (0.02 * len(x)), tol=1e-10, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(model.weights, theirs.coef_.T, atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(x), theirs.predict_proba(x), atol=1e-4)
    np.testing.assert_array_equal(model.predict(x), theirs.predict(x))
    assert (np.diff(model.losses) < 1e-12).all()
    assert model.mistakes[-1] == (theirs.predict(x) != y).sum()


def test_mistakes_are_counted_before_the_step():
    x, y = np.array([[1.0], [-1.0]]), np.array([1, 0])
    model = SoftmaxRegression(1.0, 2, batch_size=None).fit(x, y)
    assert model.mistakes == [1, 0]  # at the start all scores are 0 and class 0 wins every tie


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_inputs_and_refitting(build, dtype):
    x, y, _ = separable(1)
    x, y = x.astype(dtype), y if build is Perceptron else (y + 1) // 2
    x_before, y_before = x.copy(), y.copy()
    model = build(epochs=5, seed=0).fit(x, y)
    assert model.weights.dtype == model.bias.dtype == model.scores(x).dtype == dtype
    assert model.weights.shape == ((2,) if build is Perceptron else (2, 2))
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)
    again = build(epochs=5, seed=0).fit(-x, y).fit(x, y)  # a second fit starts afresh, and a seed means the same order
    np.testing.assert_array_equal(again.weights, model.weights)
    assert again.mistakes == model.mistakes
    for number in model.mistakes:
        assert isinstance(number, int)
    shuffled = build(epochs=5, seed=1).fit(x, y)
    assert build is MulticlassPerceptron or not np.array_equal(shuffled.weights, model.weights)


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("x, y, message", [
    (np.ones((2, 4, 4, 1)), [1, 1], r"`x` must have 2 axes \(n, d\), one row per image .*x.reshape\(len\(x\), -1\)"),
    (np.ones(4), [1, 1], r"`x` must have 2 axes \(n, d\)"),
    (np.ones((2, 3), int), [1, 1], "`x` must hold floating-point numbers"),
    (np.full((2, 3), np.nan), [1, 1], "`x` must hold finite numbers, and 6 of 6"),
    (np.ones((0, 3)), [], "there is nothing to learn from"),
    (np.ones((2, 3)), [1, 1, 1], r"there must be one label for each row of `x` \(len\(x\)=2, len\(y\)=3\). Pass 2"),
    (np.ones((2, 3)), [[1], [1]], r"`y` must have 1 axes \(n,\)"),
    (np.ones((2, 3)), [0.5, 1.0], "(`y` must hold whole numbers|labels must be -1 or .1)"),
    (np.ones((2, 3)), [-2, 1], "(`y` must count classes from 0|labels must be -1 or .1)"),
])  # fmt: skip
def test_fit_errors(build, x, y, message):
    with pytest.raises(ValueError, match=f"^{build.__name__}.fit: {message}"):
        build().fit(x, np.array(y))


@pytest.mark.parametrize("build", MODELS)
def test_score_errors(build):
    model = build()
    with pytest.raises(
        ValueError, match=rf"^{build.__name__}.scores: there are no weights yet. Call fit\(x, y\) first"
    ):
        model.predict(np.ones((1, 3)))
    model.fit(np.eye(3), np.array([1, 1, 1]))
    for x, message in [
        (np.ones((2, 4)), "`x` has 4 numbers in each row but the training images had 3"),
        (np.ones((2, 3), "float32"), "all arrays must share one dtype"),
        (np.ones(3), r"`x` must have 2 axes .*x\[None\]"),
        (np.ones((2, 3, 1, 1)), "`x` must have 2 axes"),
    ]:
        with pytest.raises(ValueError, match=f"^{build.__name__}.scores: {message}"):
            model.predict(x)


def test_setting_errors():
    for build in MODELS:
        with pytest.raises(ValueError, match=f"^{build.__name__}: `epochs` must be an integer >= 1"):
            build(epochs=0)
    for name, value in [("learning_rate", 0), ("learning_rate", np.inf), ("batch_size", 0), ("weight_penalty", -0.1)]:
        with pytest.raises(ValueError, match=f"^SoftmaxRegression: `{name}` must be"):
            SoftmaxRegression(**{name: value})


@pytest.mark.parametrize("f, loss_forward", [
    (scratch.softmax, scratch.softmax_cross_entropy_forward), (lambda s: s, scratch.l2_forward)
])  # fmt: skip
def test_shared_update_of_the_lecture(f, loss_forward):
    """F038: for both regressions the gradient by W is x^T (h - t), h = f(x W); D = 4, C = 3."""
    rng = np.random.default_rng(0)
    x, weights, t = rng.normal(size=(1, 4)), rng.normal(size=(4, 3)), np.array([[0.0, 1.0, 0.0]])
    numeric = np.zeros_like(weights)
    for index in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[index] = 1e-5
        numeric[index] = (loss_forward(x @ (weights + step), t)[0] - loss_forward(x @ (weights - step), t)[0]) / 2e-5
    np.testing.assert_allclose(x.T @ (f(x @ weights) - t), numeric, rtol=1e-6, atol=1e-9)
