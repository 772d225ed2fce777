"""Scratch pooling, ReLU, sigmoid, tanh and bias against TensorFlow and its gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import scratch, tfops
from course_cnn._tensorflow import tf

POOLS = [
    (scratch.max_pool2d_forward, scratch.max_pool2d_backward, tfops.max_pool2d),
    (scratch.avg_pool2d_forward, scratch.avg_pool2d_backward, tfops.avg_pool2d),
]


@pytest.mark.parametrize("forward, backward, reference", POOLS)
@settings(max_examples=40, deadline=None)
@given(
    ph=st.integers(1, 3), pw=st.integers(1, 3), extra=st.integers(0, 5), stride=st.sampled_from([None, 1, 2, 3]),
    padding=st.sampled_from(["valid", "same", 0]), c=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_pooling_matches_tf(forward, backward, reference, ph, pw, extra, stride, padding, c, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, ph + extra, pw + extra + 1, c))
    y, cache = forward(x, (ph, pw), stride=stride, padding=padding)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = reference(inputs, (ph, pw), stride=stride, padding=padding)
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)
    dy = rng.normal(size=y.shape)
    np.testing.assert_allclose(
        backward(dy, cache), tape.gradient(want, inputs, output_gradients=dy), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("forward, backward, reference", POOLS)
@pytest.mark.parametrize("padding", [1, (0, 1), ((1, 0), (1, 1)), "full", "causal"])
def test_pooling_with_other_paddings(forward, backward, reference, padding):
    """Scratch and TensorFlow pad by different means; the gradient is checked by central differences."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 4, 5, 2)) - 3  # negative: a padded zero would win a maximum
    y, cache = forward(x, 2, stride=1, padding=padding)
    np.testing.assert_allclose(y, reference(x, 2, stride=1, padding=padding), rtol=1e-12)
    assert y.max() < 0
    dy = rng.normal(size=y.shape)
    numeric = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        rise = forward(up, 2, stride=1, padding=padding)[0] - forward(down, 2, stride=1, padding=padding)[0]
        numeric[index] = np.vdot(rise, dy) / 2e-6
    np.testing.assert_allclose(backward(dy, cache), numeric, rtol=1e-6, atol=1e-6)


def test_ties_go_to_the_first():
    y, cache = scratch.max_pool2d_forward(np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(scratch.max_pool2d_backward(y, cache)[0, :, :, 0], [[1, 0], [0, 0]])
    x = tf.ones((1, 2, 2, 1), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled = tfops.max_pool2d(x)
    np.testing.assert_array_equal(tape.gradient(pooled, x)[0, :, :, 0], [[1, 0], [0, 0]])


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_relu_matches_tf(shape, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=shape).round(1), rng.normal(size=shape)  # rounding makes exact zeros likely
    y, cache = scratch.relu_forward(x)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = tf.nn.relu(inputs)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(scratch.relu_backward(dy, cache), tape.gradient(want, inputs, output_gradients=dy))


SQUASHES = [
    (scratch.sigmoid_forward, scratch.sigmoid_backward, tf.nn.sigmoid),
    (scratch.tanh_forward, scratch.tanh_backward, tf.nn.tanh),
]


@pytest.mark.parametrize("forward, backward, reference", SQUASHES)
@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(0, 4), max_size=4), scale=st.sampled_from([1, 10]), seed=st.integers(0, 99))
def test_squashing_matches_tf(forward, backward, reference, shape, scale, seed):
    rng = np.random.default_rng(seed)
    x, dy = np.asarray(scale * rng.normal(size=shape)), np.asarray(rng.normal(size=shape))
    y, cache = forward(x)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = reference(inputs)
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-15)
    # Both compute the slope from y, whose last digit counts where y is nearly 1.
    wanted = tape.gradient(want, inputs, output_gradients=tf.constant(dy))
    np.testing.assert_allclose(backward(dy, cache), wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squashing_far_out(dtype):
    """F046, and no overflow: warnings are errors here."""
    x = np.array([-1e30, -20, 0, 20, 1e30], dtype)
    y, cache = scratch.sigmoid_forward(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [0, 2.0611537e-9, 0.5, 1, 1], rtol=1e-6)
    assert (y[3] == 1) == (dtype == "float32")
    dx = scratch.sigmoid_backward(np.ones_like(x), cache)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, [0, 2.0611537e-9, 0.25, 2.0611537e-9 * (dtype == "float64"), 0], rtol=1e-6)
    y, cache = scratch.tanh_forward(x)
    np.testing.assert_array_equal(y, [-1, -1, 0, 1, 1])
    dx = scratch.tanh_backward(np.ones_like(x), cache)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(dx, [0, 0, 1, 0, 0])
    assert np.isnan(scratch.sigmoid_forward(np.array([np.nan], dtype))[0])  # passed on, as by TensorFlow


@pytest.mark.parametrize("forward, backward, reference", SQUASHES)
def test_squashing_errors(forward, backward, reference):
    with pytest.raises(ValueError, match=f"^{forward.__name__}: `x` must hold floating-point numbers"):
        forward(np.arange(3))
    with pytest.raises(ValueError, match=f"^{backward.__name__}: `dy` must have the shape"):
        backward(np.ones(2), forward(np.ones(3))[1])


def test_bias_matches_tf():
    rng = np.random.default_rng(0)
    x, bias, dy = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=5), rng.normal(size=(2, 3, 4, 5))
    y, cache = scratch.bias_add_forward(x, bias)
    inputs = [tf.constant(x), tf.constant(bias)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = tfops.bias_add(*inputs)
    np.testing.assert_array_equal(y, want)
    for got, expected in zip(
        scratch.bias_add_backward(dy, cache), tape.gradient(want, inputs, output_gradients=dy), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("function", [scratch.max_pool2d_forward, tfops.max_pool2d, tfops.avg_pool2d])
@pytest.mark.parametrize(
    "x, arguments, message",
    [
        (np.ones((4, 4, 1)), {}, r"`x` must have 4 axes \(n, h, w, c\)"),
        (np.ones((1, 4, 4, 1), int), {}, "`x` must hold floating-point numbers"),
        (np.ones((1, 4, 4, 1)), dict(pool_size=5), r"the kernel spans 5 pixels but the padded input has 4"),
        (np.ones((1, 4, 4, 1)), dict(pool_size=0), r"`pool_size` must be an integer >= 1 \(pool_size=0\)"),
        (np.ones((1, 4, 4, 1)), dict(padding=2), r"a window must hold at least one real pixel .* Use padding <= 1"),
        (np.ones((1, 4, 4, 1)), dict(stride=0), "`stride` must be an integer >= 1"),
    ],
)
def test_pooling_errors(function, x, arguments, message):
    with pytest.raises(ValueError, match=f"^{function.__name__}: {message}"):
        function(x, **arguments)


def test_gradient_shape_errors():
    for forward, backward, _ in POOLS:
        y, cache = forward(np.ones((1, 4, 4, 1)))
        with pytest.raises(ValueError, match=rf"{backward.__name__}: `dy` must have the shape .*\(1, 2, 2, 1\)"):
            backward(y[0], cache)
    with pytest.raises(ValueError, match="relu_backward: `dy` must have the shape"):
        scratch.relu_backward(np.ones(2), scratch.relu_forward(np.ones(3))[1])
    with pytest.raises(ValueError, match="bias_add_forward: `bias` must hold one number per filter, 3 in all"):
        scratch.bias_add_forward(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="bias_add_backward: `dy` must have the shape"):
        scratch.bias_add_backward(np.ones(3), scratch.bias_add_forward(np.ones((2, 3)), np.ones(3))[1])
    with pytest.raises(ValueError, match="relu_forward: `x` must hold floating-point numbers"):
        scratch.relu_forward(np.arange(3))
