"""Dense layer, softmax and losses against TensorFlow and Keras in float64."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import scratch
from course_cnn._tensorflow import tf

keras = tf.keras
LABELS = np.array([2, 0, 1, 2])


def scores_and_labels(n, c, seed, scale=3.0):
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(n, c)), rng.integers(0, c, size=n)


def tf_loss_and_gradient(loss, scores):
    """`loss` maps scores (n, c) to one number per row; the mean and its gradient."""
    inputs = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_mean(loss(inputs))
    return value, tape.gradient(value, inputs)


def assert_same(forward, backward, reference, scores, *arguments, **options):
    loss, cache = forward(scores, *arguments, **options)
    want, gradient = tf_loss_and_gradient(reference, scores)
    np.testing.assert_allclose(loss, want, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(backward(1.0, cache), gradient, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(backward(-2.5, cache), -2.5 * gradient, rtol=1e-10, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 4),
    d_in=st.integers(1, 5),
    d_out=st.integers(1, 5),
    use_bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_dense_matches_keras(n, d_in, d_out, use_bias, seed):
    rng = np.random.default_rng(seed)
    x, kernel, bias = rng.normal(size=(n, d_in)), rng.normal(size=(d_in, d_out)), rng.normal(size=d_out)
    dy = rng.normal(size=(n, d_out))
    layer = keras.layers.Dense(d_out, use_bias=use_bias, dtype="float64")
    layer.build((None, d_in))
    layer.set_weights([kernel, bias][: 1 + use_bias])
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = layer(inputs)
    y, cache = scratch.dense_forward(x, kernel, bias if use_bias else None)
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)
    gradients = scratch.dense_backward(dy, cache)
    wanted = tape.gradient(want, [inputs, *layer.trainable_weights], output_gradients=tf.constant(dy))
    for got, expected in zip(gradients, wanted, strict=use_bias):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradients[2], dy.sum(axis=0))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), scale=st.sampled_from([1, 100]), seed=st.integers(0, 99)
)
def test_softmax_matches_tf(shape, scale, seed):
    scores = scale * np.random.default_rng(seed).normal(size=shape)
    got = scratch.softmax(scores)
    np.testing.assert_allclose(got, tf.nn.softmax(scores), rtol=1e-11, atol=1e-300)
    np.testing.assert_allclose(got.sum(axis=-1), 1, rtol=1e-14)


def test_softmax_of_the_lecture():
    """F140: 1, 2, 3, and the same with 1000 added, which overflows exp."""
    z = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(scratch.softmax(z), [0.090031, 0.244728, 0.665241], atol=5e-7)
    np.testing.assert_array_equal(scratch.softmax(z + 1000), scratch.softmax(z))
    assert np.isfinite(scratch.softmax(z.astype("float32") + 1e6)).all()
    np.testing.assert_array_equal(scratch.softmax(np.array([0.0, -1e4])), [1, 0])


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 5), c=st.integers(1, 5), scale=st.sampled_from([1, 50]), seed=st.integers(0, 99))
def test_cross_entropy_matches_tf(n, c, scale, seed):
    scores, labels = scores_and_labels(n, c, seed, scale)
    assert_same(
        scratch.softmax_cross_entropy_forward, scratch.softmax_cross_entropy_backward,
        lambda s: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, s), scores, labels,
    )  # fmt: skip
    targets = np.random.default_rng(seed).dirichlet(np.ones(c), size=n)
    assert_same(
        scratch.softmax_cross_entropy_forward, scratch.softmax_cross_entropy_backward,
        lambda s: tf.nn.softmax_cross_entropy_with_logits(targets, s), scores, targets,
    )  # fmt: skip


def test_cross_entropy_of_a_hopeless_class_is_finite():
    """The probability, exp(-2000), is 0 in any float; its logarithm is not."""
    scores = np.array([[0.0, 2000.0]])
    loss, cache = scratch.softmax_cross_entropy_forward(scores, np.array([0]))
    assert loss == 2000
    np.testing.assert_array_equal(scratch.softmax_cross_entropy_backward(1.0, cache), [[-1, 1]])


def test_softmax_cross_entropy_gradient_of_the_lecture():
    """F039: de/ds = softmax(s) - t."""
    s, t = np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 0.0, 1.0]])
    _, cache = scratch.softmax_cross_entropy_forward(s, t)
    np.testing.assert_allclose(scratch.softmax_cross_entropy_backward(1.0, cache), scratch.softmax(s) - t)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 5), c=st.integers(1, 5), seed=st.integers(0, 99))
def test_l2_matches_keras(n, c, seed):
    scores, _ = scores_and_labels(n, c, seed)
    targets, _ = scores_and_labels(n, c, seed + 100)
    # Keras takes the mean over c where we take half the sum.
    mse = keras.losses.MeanSquaredError(reduction=None, dtype="float64")
    assert_same(scratch.l2_forward, scratch.l2_backward, lambda s: mse(targets, s) * (c / 2), scores, targets)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 5), c=st.integers(1, 5), margin=st.sampled_from([1, 0.3, 2.0]), seed=st.integers(0, 99))
def test_hinge_matches_tf(n, c, margin, seed):
    scores, labels = scores_and_labels(n, c, seed)

    def reference(s):
        right = tf.gather(s, labels, batch_dims=1)[:, None]
        every = tf.nn.relu(s - right + margin)  # the right class itself pays `margin`, a constant
        return tf.reduce_sum(every, axis=1) - margin

    assert_same(scratch.hinge_forward, scratch.hinge_backward, reference, scores, labels, margin=margin)


def test_keras_hinge_charges_the_worst_class_only():
    """What our docstring says of CategoricalHinge; with two classes and positive scores the two agree."""
    theirs = keras.losses.CategoricalHinge(dtype="float64")
    two, labels = scores_and_labels(6, 2, 0)
    two = abs(two)
    assert scratch.hinge_forward(two, labels)[0] == pytest.approx(float(theirs(np.eye(2)[labels], two)))
    three = np.array([[0.0, 0.5, 0.25]])
    assert scratch.hinge_forward(three, np.array([0]))[0] == 1.5 + 1.25
    assert float(theirs(np.eye(3)[[0]], three)) == 1.5
    assert float(theirs(np.eye(3)[[0]], three - 5)) == 6.0  # not 1.5: the best wrong score, -4.5, counts as 0


def test_hinge_at_the_margin_pays_nothing():
    loss, cache = scratch.hinge_forward(np.array([[1.0, 0.0]]), np.array([0]))
    assert loss == 0
    np.testing.assert_array_equal(scratch.hinge_backward(1.0, cache), [[0, 0]])


CALLS = {
    "softmax_cross_entropy": lambda s: scratch.softmax_cross_entropy_forward(s, LABELS),
    "l2": lambda s: scratch.l2_forward(s, np.zeros_like(s)),
    "hinge": lambda s: scratch.hinge_forward(s, LABELS),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_keep_the_dtype_and_the_inputs(name, dtype):
    scores = scores_and_labels(4, 3, 0)[0].astype(dtype)
    before = scores.copy()
    loss, cache = CALLS[name](scores)
    backward = getattr(scratch, f"{name}_backward")
    for dloss in (1.0, 2, np.float64(0.5)):
        gradient = backward(dloss, cache)
        assert (loss.dtype, gradient.dtype, gradient.shape) == (dtype, dtype, scores.shape)
    assert np.ndim(loss) == 0
    np.testing.assert_array_equal(scores, before)
    np.testing.assert_array_equal(LABELS, [2, 0, 1, 2])
    with pytest.raises(ValueError, match=rf"^{name}_backward: `dloss` must be one number.*Use dloss=1.0"):
        backward(np.ones(4), cache)


def test_dense_keeps_the_dtype_and_the_inputs():
    x, kernel, bias = np.ones((2, 3), "float32"), np.ones((3, 4), "float32"), np.ones(4, "float32")
    y, cache = scratch.dense_forward(x, kernel, bias)
    assert [a.dtype for a in (y, *scratch.dense_backward(y, cache))] == ["float32"] * 4
    for array in (x, kernel, bias):
        np.testing.assert_array_equal(array, np.ones_like(array))


S = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
NAN = np.array([[0.0, np.nan], [np.inf, 1.0]])
LABEL_LOSSES = [scratch.softmax_cross_entropy_forward, scratch.hinge_forward]


@pytest.mark.parametrize("loss", LABEL_LOSSES)
@pytest.mark.parametrize(
    "scores, labels, message",
    [
        (S, np.array([0, 3]), r"`labels` must count classes from 0: .* below 3 \(smallest=0, largest=3\)"),
        (S, np.array([-1, 2]), r"`labels` must count classes from 0: .* below 3 \(smallest=-1, largest=2\)"),
        (S, np.array([0.0, 1.0]), r"`labels` must hold whole numbers.*float64'\). Convert.*labels.astype\('int64'\)"),
        (S, np.array([True, False]), "`labels` must hold whole numbers"),
        (S, np.array([0, 1, 2]), r"there must be one label for each of the 2 rows \(len\(labels\)=3\). Pass 2 labels"),
        (S, [0, 1], r"`labels` must be an array"),
        (NAN, np.array([0, 1]), r"`scores` must hold finite numbers, and 2 of 4 are NaN or infinite"),
        (S.astype(int), np.array([0, 1]), "`scores` must hold floating-point numbers"),
        (S[0], np.array([0, 1]), r"`scores` must have 2 axes \(n, c\) .*scores\[None\]"),
        (S[:0], np.array([], int), "the mean over an empty batch is not defined"),
    ],
)  # fmt: skip
def test_label_errors(loss, scores, labels, message):
    with pytest.raises(ValueError, match=f"^{loss.__name__}: {message}"):
        loss(scores, labels)


@pytest.mark.parametrize(
    "targets, message",
    [
        (np.array([[0.5, 0.6, 0.0], [0, 0, 1]]), r"each row must sum to 1 \(.*row_sums=\(1.0, 1.1\)\)"),
        (np.array([[1.5, -0.5, 0.0], [0, 0, 1]]), r"must lie in \[0, 1\] .*smallest=-0.5, largest=1.5"),
        (np.array([[-0.2, 0.6, 0.6], [0, 0, 1]]), r"must lie in \[0, 1\] .*smallest=-0.2, largest=1.0"),
        (np.array([[np.nan, 0.0, 1.0], [0, 0, 1]]), "`labels` must hold finite numbers"),
        (np.array([[1, 0, 0], [0, 0, 1]]), "`labels` must hold floating-point numbers"),
        (np.array([[1, 0, 0], [0, 0, 1]], "float32"), "all arrays must share one dtype"),
        (np.array([[1.0, 0], [0, 1]]), r"`labels` must have the shape of `scores` \(labels.shape=\(2, 2\)"),
    ],
)
def test_target_probability_errors(targets, message):
    with pytest.raises(ValueError, match=f"^softmax_cross_entropy_forward: .*{message}"):
        scratch.softmax_cross_entropy_forward(S, targets)


def test_remedies_work():
    """Follow the remedies the messages give."""
    labels = np.array([2, 0])
    with pytest.raises(ValueError, match=r"^l2_forward: .*np.eye\(3, dtype='float64'\)\[targets\]"):
        scratch.l2_forward(S, labels)
    assert scratch.l2_forward(S, np.eye(3, dtype="float64")[labels])[0] == 1.0
    odd = np.array([10, 30])
    with pytest.raises(ValueError, match=re.escape("np.unique(labels, return_inverse=True)[1]")):
        scratch.hinge_forward(S, odd)
    scratch.hinge_forward(S, np.unique(odd, return_inverse=True)[1])
    amounts = np.array([[1.0, 1, 2], [3, 0, 0]])
    with pytest.raises(ValueError, match=re.escape("labels / labels.sum(axis=1, keepdims=True)")):
        scratch.softmax_cross_entropy_forward(S, amounts)
    scratch.softmax_cross_entropy_forward(S, amounts / amounts.sum(axis=1, keepdims=True))
    scratch.softmax_cross_entropy_forward(S, labels.astype("float64").astype("int64"))
    images = np.ones((2, 4, 4, 1))
    with pytest.raises(ValueError, match=re.escape("x.reshape(len(x), -1)")):
        scratch.dense_forward(images, np.ones((16, 3)))
    scratch.dense_forward(images.reshape(len(images), -1), np.ones((16, 3)))


def test_l2_errors():
    with pytest.raises(ValueError, match="l2_forward: `targets` must hold finite numbers"):
        scratch.l2_forward(S, S + np.inf)
    with pytest.raises(ValueError, match="l2_forward: `scores` must hold finite numbers"):
        scratch.l2_forward(S + np.nan, S)
    with pytest.raises(ValueError, match="l2_forward: all arrays must share one dtype"):
        scratch.l2_forward(S, S.astype("float32"))


@pytest.mark.parametrize("margin", [0, -1.0, float("nan"), float("inf"), True, "1"])
def test_hinge_margin_errors(margin):
    with pytest.raises(ValueError, match="hinge_forward: `margin` must be a number > 0"):
        scratch.hinge_forward(S, np.array([0, 1]), margin=margin)


@pytest.mark.parametrize("scores, message", [
    (np.array([1.0, np.nan]), "`scores` must hold finite numbers, and 1 of 2"),
    (np.array([1, 2]), "`scores` must hold floating-point numbers"),
    (np.ones((3, 0)), r"`scores` must be an array \(..., c\) with c >= 1"),
    (np.float64(3), r"`scores` must be an array \(..., c\)"),
    ([1.0, 2.0], r"`scores` must be an array .*scores.shape='list'"),
])  # fmt: skip
def test_softmax_errors(scores, message):
    with pytest.raises(ValueError, match=f"^softmax: {message}"):
        scratch.softmax(scores)


@pytest.mark.parametrize("x, kernel, bias, message", [
    (np.ones((2, 3)), np.ones((4, 2)), None, r"`x` has 3 numbers in each row but `kernel` expects 4 .*d_in must be 3"),
    (np.ones((2, 3)), np.ones((3, 2)), np.ones(3), r"`bias` must hold one number per filter, 2 in all"),
    (np.ones(3), np.ones((3, 2)), None, r"`x` must have 2 axes \(n, d\) .*x\[None\]"),
    (np.ones((2, 3)), np.ones(3), None, r"`kernel` must have 2 axes \(d_in, d_out\)"),
    (np.ones((2, 3), int), np.ones((3, 2)), None, "`x` must hold floating-point numbers"),
    (np.ones((2, 3), "float32"), np.ones((3, 2)), None, "all arrays must share one dtype"),
])  # fmt: skip
def test_dense_errors(x, kernel, bias, message):
    with pytest.raises(ValueError, match=f"^dense_forward: {message}"):
        scratch.dense_forward(x, kernel, bias)


def test_dense_gradient_shape_error():
    _, cache = scratch.dense_forward(np.ones((2, 3)), np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"dense_backward: `dy` must have the shape .*\(2, 4\)"):
        scratch.dense_backward(np.ones((2, 3)), cache)
