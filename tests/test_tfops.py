"""The TensorFlow wrappers against TensorFlow's raw operations, Keras and SciPy."""

import keras
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import shapes, tfops
from course_cnn._tensorflow import tf


@settings(max_examples=60, deadline=None)
@given(
    kh=st.integers(1, 4), kw=st.integers(1, 4), extra=st.integers(0, 6), stride=st.integers(1, 3),
    dilation=st.integers(1, 2), c=st.integers(1, 3), seed=st.integers(0, 99),
    padding=st.one_of(st.sampled_from(["valid", "same", "full", "causal"]), st.integers(0, 3),
                      st.tuples(st.integers(0, 3), st.integers(0, 3))),
)  # fmt: skip
def test_conv2d_matches_scipy(kh, kw, extra, stride, dilation, c, seed, padding):
    """Pad with NumPy, correlate channel by channel with SciPy, keep every stride-th: nothing of ours but the zeros."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, dilation * (kh - 1) + 1 + extra, dilation * (kw - 1) + 2 + extra, c))
    kernel = rng.normal(size=(kh, kw, c, 2))
    how = dict(stride=stride, padding=padding, dilation=dilation)
    amounts = [shapes.pad_amounts(n, k, **how) for n, k in zip(x.shape[1:3], (kh, kw), strict=True)]
    padded = np.pad(x[0], [*amounts, (0, 0)])
    holes = np.zeros((dilation * (kh - 1) + 1, dilation * (kw - 1) + 1, c, 2))
    holes[::dilation, ::dilation] = kernel
    want = [
        sum(scipy.signal.correlate2d(padded[..., i], holes[..., i, f], "valid") for i in range(c)) for f in range(2)
    ]
    want = np.stack(want, axis=-1)[::stride, ::stride]
    np.testing.assert_allclose(tfops.conv2d(x, kernel, **how)[0], want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv2d_is_tf_nn_conv2d(padding, stride):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 9, 8, 3)), rng.normal(size=(4, 3, 3, 5))
    want = tf.nn.conv2d(x, filters=kernel, strides=stride, padding=padding.upper())
    np.testing.assert_array_equal(tfops.conv2d(x, kernel, stride=stride, padding=padding), want)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 3)])
def test_conv1d_is_keras(padding, stride, dilation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 12, 3))
    layer = keras.layers.Conv1D(4, 3, strides=stride, padding=padding, dilation_rate=dilation, dtype="float64")
    want = layer(x)
    got = tfops.bias_add(tfops.conv1d(x, layer.kernel, stride=stride, padding=padding, dilation=dilation), layer.bias)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_conv_and_bias_is_the_keras_layer():
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 3))
    layer = keras.layers.Conv2D(4, 3, bias_initializer="random_normal", dtype="float64")
    want = layer(x)
    np.testing.assert_allclose(tfops.bias_add(tfops.conv2d(x, layer.kernel), layer.bias), want, rtol=1e-12)


@pytest.mark.parametrize("padding", ["full", "causal", 2, (1, 0)])
@pytest.mark.parametrize("dilation, stride", [(1, 2), (2, 1), (2, 2)])
def test_every_padding_has_a_float64_gradient(padding, dilation, stride):
    x, kernel = tf.random.stateless_normal((1, 7, 7, 2), (0, 1), dtype=tf.float64), tf.ones((3, 2, 2, 3), tf.float64)
    how = dict(padding=padding, dilation=dilation, stride=stride)
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        loss = tf.reduce_sum(tfops.conv2d(x, kernel, **how))
    dx, dkernel = tape.gradient(loss, [x, kernel])
    assert float(tf.reduce_sum(dx * x)) == pytest.approx(float(loss), abs=1e-10)  # linear: <x, dx> = loss
    assert float(tf.reduce_sum(dkernel * kernel)) == pytest.approx(float(loss), abs=1e-10)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("pool_size, stride", [(2, None), (3, 2), (2, 1)])
def test_pools_are_tf_nn(padding, pool_size, stride):
    rng = np.random.default_rng(0)
    images, steps = tf.constant(rng.normal(size=(2, 7, 8, 3))), stride or pool_size  # raw max_pool2d casts NumPy arrays
    raw = dict(ksize=pool_size, strides=steps, padding=padding.upper())
    ours = dict(stride=stride, padding=padding)
    np.testing.assert_array_equal(tfops.max_pool2d(images, pool_size, **ours), tf.nn.max_pool2d(images, **raw))
    np.testing.assert_array_equal(tfops.avg_pool2d(images, pool_size, **ours), tf.nn.avg_pool2d(images, **raw))
    row = images[:, 0]
    np.testing.assert_array_equal(tfops.max_pool1d(row, pool_size, **ours), tf.nn.max_pool1d(row, **raw))
    np.testing.assert_array_equal(tfops.avg_pool1d(row, pool_size, **ours), tf.nn.avg_pool1d(row, **raw))


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"conv2d: `x` must be a tensor or an array of numbers .*='list'"):
        tfops.conv2d([[1, 2], [3]], np.ones((1, 1, 1, 1)))
    with pytest.raises(ValueError, match=r"conv1d: `kernel` must have 3 axes \(k, c_in, filters\)"):
        tfops.conv1d(np.ones((1, 5, 1)), np.ones((3, 3, 1, 1)))
    with pytest.raises(ValueError, match=r"bias_add: `bias` must hold one number per filter, 2 in all"):
        tfops.bias_add(np.ones((1, 2)), np.ones(3))
    with pytest.raises(ValueError, match=r"bias_add: `bias` must hold .*bias.dtype='float32'"):
        tfops.bias_add(np.ones((1, 2)), np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"bias_add: `x` must have 2 axes"):
        tfops.bias_add(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"max_pool1d: `x` must have 3 axes \(n, steps, c\)"):
        tfops.max_pool1d(np.ones((5, 1)))


def test_plain_numbers_and_lists_work():
    assert tfops.bias_add([[1.0, 2.0]], [1.0, 1.0]).numpy().tolist() == [[2.0, 3.0]]


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5), given_statistics=st.booleans(),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_batch_norm_is_the_formula(shape, given_statistics, dtype, seed):
    """The formula in NumPy and float64, on the very numbers that the tensor holds."""
    rng, c = np.random.default_rng(seed), shape[-1]
    small = dtype if dtype == "float64" else "float32"
    gamma, beta, mean = rng.normal(size=(3, c)).astype(small)
    variance = rng.uniform(0.5, 2, size=c).astype(small)
    x = tf.cast(rng.normal(1, 2, size=shape), dtype)
    y, *used = tfops.batch_norm(x, gamma, beta, *((mean, variance) if given_statistics else ()), epsilon=0.01)
    numbers = tf.cast(x, tf.float64).numpy().reshape(-1, c)
    if not given_statistics:
        mean, variance = numbers.mean(0), numbers.var(0)
    want = gamma * (numbers - mean) / np.sqrt(variance + 0.01) + beta
    rtol = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype]  # the digits that y can hold
    assert (y.dtype.name, tuple(y.shape), used[0].dtype.name) == (dtype, tuple(shape), small)
    np.testing.assert_allclose(tf.cast(y, tf.float64), want.reshape(shape), rtol=rtol, atol=5 * rtol)
    np.testing.assert_allclose(used, [mean, variance], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("given_statistics", [False, True])
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4, 2)])
def test_batch_norm_gradients_by_kernel_and_by_formula(shape, given_statistics):
    rng, c = np.random.default_rng(0), shape[-1]
    arrays = [rng.normal(size=shape), rng.normal(size=c), rng.normal(size=c)]
    arrays += [rng.normal(size=c), rng.uniform(1, 2, size=c)] if given_statistics else []
    dy, gradients = rng.normal(size=shape), {}
    for dtype in ("float32", "float64"):
        tensors = [tf.constant(array, dtype) for array in arrays]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors)
            y, mean, variance = tfops.batch_norm(*tensors)
        gradients[dtype] = tape.gradient(y, tensors[:3], output_gradients=tf.constant(dy, dtype))
        assert tape.gradient([mean, variance], tensors[:3]) == [None] * 3
        assert tape.gradient(y, tensors[3:]) == [None] * len(tensors[3:])
    for got, want in zip(*gradients.values(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_batch_norm_traces_with_unknown_sizes_and_one_number_has_variance_0():
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 2))])
    def norm(x):
        return tfops.batch_norm(x, tf.ones(2), tf.ones(2))

    for size in ((3, 4, 5, 2), (1, 1, 1, 2)):
        x = np.random.default_rng(0).normal(size=size).astype("float32")
        y, mean, variance = norm(x)
        np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(y, np.ones((1, 1, 1, 2)))


@pytest.mark.parametrize(
    "arguments, settings, match",
    [
        ((np.ones(3), np.ones(3), np.ones(3)), {}, r"`x` must have 2 axes \(n, c\)"),
        ((np.ones((2, 3), int), np.ones(3), np.ones(3)), {}, r"`x` must hold floating-point"),
        ((np.ones((0, 3)), np.ones(3), np.ones(3)), {}, r"at least one number per channel \(x.shape=\(0, 3\)\)"),
        ((np.ones((2, 3)), np.ones(2), np.ones(3)), {}, r"`gamma` must hold one number per channel of x, 3 in all"),
        (
            (np.ones((2, 3)), np.ones(3), np.ones(3, "float32")),
            {},
            r"`beta` must .* float64 .*np.zeros\(3, 'float64'\)",
        ),
        ((np.ones((2, 3), "float16"), np.ones(3, "float16"), np.ones(3)), {}, r"`gamma` must .* of dtype float32"),
        ((np.ones((2, 3)), np.ones(3), np.ones(3), np.ones(3)), {}, r"only `mean` is given"),
        ((np.ones((2, 3)), np.ones(3), np.ones(3), np.ones(3), np.ones(2)), {}, r"`variance` must hold one"),
        ((np.ones((2, 3)), np.ones(3), np.ones(3)), {"epsilon": 0}, r"`epsilon` must be a number > 0"),
    ],
)
def test_batch_norm_errors(arguments, settings, match):
    with pytest.raises(ValueError, match=r"batch_norm: .*" + match):
        tfops.batch_norm(*arguments, **settings)
