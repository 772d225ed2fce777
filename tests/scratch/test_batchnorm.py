"""Batch normalisation in NumPy against Keras, TensorFlow's gradients and central differences, in float64."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import scratch
from course_cnn._tensorflow import tf

SHAPES = [(5, 3), (1, 3), (2, 3, 4, 2), (1, 1, 1, 2), (1, 4, 3, 2)]


def draw(shape, seed=0, dtype="float64"):
    """x, gamma, beta, moving mean and variance, and a gradient dy; nothing has mean 0 or variance 1 by accident."""
    rng, c = np.random.default_rng(seed), shape[-1]
    arrays = rng.normal(2, 3, size=shape), rng.normal(size=c), rng.normal(size=c), rng.normal(size=c)
    return [array.astype(dtype) for array in (*arrays, rng.uniform(0.5, 2, size=c), rng.normal(size=shape))]


def keras_layer(x, gamma, beta, mean, variance, **settings):
    layer = keras.layers.BatchNormalization(dtype="float64", **settings)
    layer.build(x.shape)
    layer.set_weights([gamma, beta, mean, variance])
    return layer


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 6), hw=st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(1, 4))), c=st.integers(1, 4),
    training=st.booleans(), momentum=st.sampled_from([0.0, 0.5, 0.99]), epsilon=st.sampled_from([1e-3, 1e-5, 0.1]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_forward_and_backward_are_keras(n, hw, c, training, momentum, epsilon, seed):
    x, gamma, beta, mean, variance, dy = draw((n, *(hw or ()), c), seed)
    y, cache = scratch.batch_norm_forward(
        x, gamma, beta, mean, variance, training=training, momentum=momentum, epsilon=epsilon
    )
    layer = keras_layer(x, gamma, beta, mean, variance, momentum=momentum, epsilon=epsilon)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = layer(inputs, training=training)
    gradients = tape.gradient(want, [inputs, layer.gamma.value, layer.beta.value], output_gradients=dy)
    np.testing.assert_allclose(y, want, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(cache.moving_mean, layer.moving_mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(cache.moving_variance, layer.moving_variance, rtol=1e-10, atol=1e-12)
    for got, expected in zip(scratch.batch_norm_backward(dy, cache), gradients, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_central_differences(shape, training):
    x, gamma, beta, mean, variance, dy = draw(shape)

    def loss():
        return np.vdot(scratch.batch_norm_forward(x, gamma, beta, mean, variance, training=training)[0], dy)

    gradients = scratch.batch_norm_backward(
        dy, scratch.batch_norm_forward(x, gamma, beta, mean, variance, training=training)[1]
    )
    for array, gradient in zip((x, gamma, beta), gradients, strict=True):
        assert gradient.shape == array.shape
        numeric = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            old = array[index]
            array[index] = old + 1e-5
            above = loss()
            array[index] = old - 1e-5
            numeric[index] = (above - loss()) / 2e-5
            array[index] = old
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_moving_statistics_over_several_batches():
    """Handed on from call to call they are Keras's, which keeps the biased variance; the first call needs none."""
    rng = np.random.default_rng(0)
    gamma, beta = np.ones(2), np.zeros(2)
    layer = keras_layer(np.zeros((1, 3, 3, 2)), gamma, beta, np.zeros(2), np.ones(2), momentum=0.9)
    moving = ()
    for _ in range(5):
        x = rng.normal(5, 2, size=(4, 3, 3, 2))
        layer(x, training=True)
        _, cache = scratch.batch_norm_forward(x, gamma, beta, *moving, momentum=0.9)
        moving = cache.moving_mean, cache.moving_variance
    np.testing.assert_allclose(moving, [layer.moving_mean, layer.moving_variance], rtol=1e-12)
    x = rng.normal(5, 2, size=(4, 3, 3, 2))
    y, cache = scratch.batch_norm_forward(x, gamma, beta, *moving, training=False)
    np.testing.assert_allclose(y, layer(x, training=False), rtol=1e-10)
    assert cache.moving_mean is moving[0]  # inference learns nothing


def test_one_number_per_channel_gives_beta_and_no_gradient():
    x, gamma, beta, *_, dy = draw((1, 3))
    for factor in (1, 1e6):
        y, cache = scratch.batch_norm_forward(factor * x, gamma, beta)
        np.testing.assert_array_equal(y, beta[None])
        dx, dgamma, dbeta = scratch.batch_norm_backward(dy, cache)
        np.testing.assert_array_equal(dx, np.zeros((1, 3)))
        np.testing.assert_array_equal(dgamma, np.zeros(3))
        np.testing.assert_array_equal(dbeta, dy[0])
    np.testing.assert_array_equal(cache.variance, np.zeros(3))


@pytest.mark.parametrize("training", [True, False])
def test_dtypes_are_kept_and_nothing_is_changed(training):
    for dtype in ("float32", "float64"):
        arrays = draw((3, 2, 2, 2), dtype=dtype)
        before = [array.copy() for array in arrays]
        *inputs, dy = arrays
        y, cache = scratch.batch_norm_forward(*inputs, training=training)
        out = [y, *(part for part in cache if isinstance(part, np.ndarray)), *scratch.batch_norm_backward(dy, cache)]
        assert {array.dtype.name for array in out} == {dtype}
        for array, old in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, old)


def test_float32_on_many_pixels_far_from_zero():
    """Adding 200,000 numbers near 100 up in float32 would lose the third digit of the variance."""
    x = np.random.default_rng(0).normal(100, 1, size=(50, 64, 64, 2))
    _, cache = scratch.batch_norm_forward(x.astype("float32"), np.ones(2, "float32"), np.zeros(2, "float32"))
    np.testing.assert_allclose(cache.mean, x.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(cache.variance, x.var((0, 1, 2)), rtol=1e-5)


X, ONES, ZEROS = np.arange(6.0).reshape(3, 2), np.ones(2), np.zeros(2)


@pytest.mark.parametrize(
    "arguments, settings, match, good_arguments, good_settings",
    [
        ((X[None], ONES, ZEROS), {}, r"must have 4 axes \(n, h, w, c\) .*x\[None\]", (X[None][None], ONES, ZEROS), {}),
        ((X[0], ONES, ZEROS), {}, r"must have 4 axes", (X, ONES, ZEROS), {}),
        (([1.0], ONES, ZEROS), {}, r"`x` must be an array", (X, ONES, ZEROS), {}),
        ((X[:0], ONES, ZEROS), {}, r"at least one number per channel \(x.shape=\(0, 2\)\)", (X, ONES, ZEROS), {}),
        ((X, np.ones(3), ZEROS), {}, r"`gamma` must hold one number .*2 in all, .*np.ones\(2, 'float64'\)",
         (X, np.ones(2, "float64"), ZEROS), {}),
        ((X, ONES, [0, 0]), {}, r"`beta` must hold .*beta.shape='list', .*\).*np.zeros\(2, 'float64'\)",
         (X, ONES, np.zeros(2, "float64")), {}),
        ((X, ONES, ZEROS, np.zeros(1), ONES), {}, r"`moving_mean` must hold", (X, ONES, ZEROS, ZEROS, ONES), {}),
        ((X, ONES, ZEROS, ZEROS, -ONES), {}, r"variance cannot be negative \(moving_variance.min\(\)=-1.0\)",
         (X, ONES, ZEROS, ZEROS, ONES), {}),
        ((X, ONES, ZEROS, ZEROS), {}, r"both moving statistics or neither \(moving_mean='given', moving_variance=None",
         (X, ONES, ZEROS, ZEROS, ONES), {}),
        ((X, ONES, ZEROS), {"training": False}, r"inference needs the moving statistics",
         (X, ONES, ZEROS, ZEROS, ONES), {"training": False}),
        ((X.astype(int), ONES, ZEROS), {}, r"`x` must hold floating-point numbers", (X, ONES, ZEROS), {}),
        ((X, ONES.astype("float32"), ZEROS), {}, r"`gamma` must .* float64 .*gamma.dtype='float32'",
         (X, ONES, ZEROS), {}),
        ((X, ONES, ZEROS), {"momentum": 1.0}, r"`momentum` must be a number from 0 to below 1 .*momentum=1.0",
         (X, ONES, ZEROS), {"momentum": 0.99}),
        ((X, ONES, ZEROS), {"momentum": -0.1}, r"`momentum` must be a number", (X, ONES, ZEROS), {"momentum": 0.0}),
        ((X, ONES, ZEROS), {"epsilon": 0}, r"`epsilon` must be a number > 0 \(epsilon=0\)", (X, ONES, ZEROS),
         {"epsilon": 0.001}),
        ((X, ONES, ZEROS), {"epsilon": float("nan")}, r"`epsilon` must be", (X, ONES, ZEROS), {"epsilon": 0.001}),
    ],
)  # fmt: skip
def test_errors_and_their_remedies(arguments, settings, match, good_arguments, good_settings):
    with pytest.raises(ValueError, match=r"batch_norm_forward: .*" + match):
        scratch.batch_norm_forward(*arguments, **settings)
    scratch.batch_norm_forward(*good_arguments, **good_settings)


def test_dy_must_fit():
    _, cache = scratch.batch_norm_forward(X, ONES, ZEROS)
    with pytest.raises(ValueError, match=r"batch_norm_backward: `dy` must have the shape .*\(3, 2\)"):
        scratch.batch_norm_backward(X[:1], cache)
