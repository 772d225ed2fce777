"""Scratch convolutions against TensorFlow and its gradients, central differences, SciPy and the adjoint identity."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import scratch, shapes, tfops
from course_cnn._tensorflow import tf

PADDINGS = st.one_of(
    st.sampled_from(["valid", "same", "full", "causal"]),
    st.integers(0, 3),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.tuples(st.integers(0, 3), st.integers(0, 3))),
)
CASES = dict(
    kh=st.integers(1, 4), kw=st.integers(1, 4), extra=st.integers(0, 6), stride=st.integers(1, 3),
    dilation=st.integers(1, 2), padding=PADDINGS, c=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip


def draw(kh, kw, extra, dilation, c, seed, *, n=2, filters=3):
    """Images a little larger than the kernel's span, higher than wide: swapped axes show up."""
    rng = np.random.default_rng(seed)
    h, w = dilation * (kh - 1) + 1 + extra, dilation * (kw - 1) + 1 + extra + 1
    return rng.normal(size=(n, h, w, c)), rng.normal(size=(kh, kw, c, filters)), rng.normal(size=filters)


@settings(max_examples=80, deadline=None)
@given(**CASES)
def test_conv2d_matches_tf_forward_and_backward(kh, kw, extra, stride, dilation, padding, c, seed):
    x, kernel, bias = draw(kh, kw, extra, dilation, c, seed)
    y, cache = scratch.conv2d_forward(x, kernel, bias, stride=stride, padding=padding, dilation=dilation)
    dy = np.random.default_rng(seed + 1).normal(size=y.shape)
    inputs = [tf.constant(array) for array in (x, kernel, bias)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = tfops.bias_add(tfops.conv2d(*inputs[:2], stride=stride, padding=padding, dilation=dilation), inputs[2])
    np.testing.assert_allclose(y, want, rtol=1e-10, atol=1e-12)
    gradients = scratch.conv2d_backward(dy, cache)
    for name, got, expected in zip(
        ("dx", "dkernel", "dbias"), gradients, tape.gradient(want, inputs, output_gradients=dy), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(**CASES)
def test_conv2d_adjoint(kh, kw, extra, stride, dilation, padding, c, seed):
    """<conv(x), dy> = <x, dx> = <kernel, dkernel>: the map is linear in each, and backward is its transpose."""
    x, kernel, _ = draw(kh, kw, extra, dilation, c, seed)
    y, cache = scratch.conv2d_forward(x, kernel, stride=stride, padding=padding, dilation=dilation)
    dy = np.random.default_rng(seed + 1).normal(size=y.shape)
    dx, dkernel, _ = scratch.conv2d_backward(dy, cache)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, dx), rel=1e-10, abs=1e-10)
    assert np.vdot(y, dy) == pytest.approx(np.vdot(kernel, dkernel), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("padding, stride, dilation", [("valid", 1, 1), ("same", 2, 1), (((3, 0), (1, 2)), 2, 2)])
def test_conv2d_central_differences(padding, stride, dilation):
    x, kernel, bias = draw(3, 2, 3, dilation, 2, seed=0, n=1, filters=2)
    how = dict(stride=stride, padding=padding, dilation=dilation)
    y, cache = scratch.conv2d_forward(x, kernel, bias, **how)
    dy = np.random.default_rng(1).normal(size=y.shape)
    for array, gradient in zip((x, kernel, bias), scratch.conv2d_backward(dy, cache), strict=True):
        numeric = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            old = array[index]
            array[index] = old + 1e-5
            above = np.vdot(scratch.conv2d_forward(x, kernel, bias, **how)[0], dy)
            array[index] = old - 1e-5
            below = np.vdot(scratch.conv2d_forward(x, kernel, bias, **how)[0], dy)
            array[index] = old
            numeric[index] = (above - below) / 2e-5
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    kh=st.integers(1, 3),
    kw=st.integers(1, 3),
    extra=st.integers(0, 3),
    stride=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_loops_are_the_definition(kh, kw, extra, stride, seed):
    x, kernel, bias = draw(kh, kw, extra, 1, 2, seed)
    y, _ = scratch.conv2d_forward(x, kernel, bias, stride=stride)
    np.testing.assert_allclose(scratch.conv2d_loops(x, kernel, bias, stride=stride), y, rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    k=st.integers(1, 5), extra=st.integers(0, 8), stride=st.integers(1, 3), dilation=st.integers(1, 3),
    c=st.integers(1, 3), padding=st.one_of(st.sampled_from(["valid", "same", "full", "causal"]), st.integers(0, 3),
                      st.tuples(st.integers(0, 3), st.integers(0, 3))),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_conv1d_matches_tf(k, extra, stride, dilation, c, padding, seed):
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(2, dilation * (k - 1) + 1 + extra, c)), rng.normal(size=(k, c, 3))
    how = dict(stride=stride, padding=padding, dilation=dilation)
    y, cache = scratch.conv1d_forward(x, kernel, **how)
    inputs = [tf.constant(x), tf.constant(kernel)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        want = tfops.conv1d(*inputs, **how)
    np.testing.assert_allclose(y, want, rtol=1e-10, atol=1e-12)
    dy = rng.normal(size=y.shape)
    for got, expected in zip(
        scratch.conv1d_backward(dy, cache)[:2], tape.gradient(want, inputs, output_gradients=dy), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(h=st.integers(4, 8), w=st.integers(4, 8), kh=st.integers(1, 4), kw=st.integers(1, 4), seed=st.integers(0, 99))
def test_textbook_form_matches_scipy_and_numpy(h, w, kh, kw, seed):
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=(h, w)), rng.normal(size=(kh, kw))
    for word in ("valid", "full"):
        np.testing.assert_allclose(
            scratch.convolve2d(x, kernel, padding=word), scipy.signal.convolve2d(x, kernel, word), atol=1e-12
        )
        np.testing.assert_allclose(
            scratch.correlate2d(x, kernel, padding=word), scipy.signal.correlate2d(x, kernel, word), atol=1e-12
        )
        np.testing.assert_allclose(
            scratch.convolve1d(x[0], kernel[0], padding=word), np.convolve(x[0], kernel[0], word), atol=1e-12
        )
        np.testing.assert_allclose(
            scratch.correlate1d(x[0], kernel[0], padding=word), np.correlate(x[0], kernel[0], word), atol=1e-12
        )


def test_float32_stays_float32_and_close():
    x, kernel, bias = draw(5, 3, 9, 1, 3, seed=3, n=5)
    exact, _ = scratch.conv2d_forward(x, kernel, bias)
    single = [array.astype(np.float32) for array in (x, kernel, bias)]
    y, cache = scratch.conv2d_forward(*single)
    assert y.dtype == np.float32
    assert np.abs(y - exact).max() / np.abs(exact).max() < 1e-5
    assert all(gradient.dtype == np.float32 for gradient in scratch.conv2d_backward(y, cache))


def test_many_images_at_a_time_or_few(monkeypatch):
    """The size of the working set changes the speed and nothing else."""
    from course_cnn.scratch import _patches

    x, kernel, _ = draw(3, 3, 5, 1, 2, seed=4, n=7)
    y, cache = scratch.conv2d_forward(x, kernel, padding="same")
    gradients = scratch.conv2d_backward(y, cache)
    monkeypatch.setattr(_patches, "CACHE_BYTES", 1)
    small_y, small_cache = scratch.conv2d_forward(x, kernel, padding="same")
    np.testing.assert_allclose(small_y, y, rtol=1e-12)
    for got, want in zip(scratch.conv2d_backward(small_y, small_cache), gradients, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_inputs_are_left_alone():
    x, kernel, bias = draw(3, 3, 2, 1, 1, seed=5)
    copies = x.copy(), kernel.copy(), bias.copy()
    y, cache = scratch.conv2d_forward(x, kernel, bias)
    scratch.conv2d_backward(y, cache)
    for array, copy in zip((x, kernel, bias), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


X, KERNEL = np.ones((1, 5, 5, 2)), np.ones((3, 3, 2, 4))


@pytest.mark.parametrize("function", [scratch.conv2d_forward, scratch.conv2d_loops, tfops.conv2d])
@pytest.mark.parametrize(
    "x, kernel, message",
    [
        (X[0], KERNEL, r"`x` must have 4 axes \(n, h, w, c\) \(x.shape=\(5, 5, 2\)\). Add .* x\[None\]"),
        (X[None], KERNEL, r"`x` must have 4 axes .* Reshape x"),
        (X, KERNEL[0], r"`kernel` must have 4 axes \(kh, kw, c_in, filters\)"),
        (X[..., :1], KERNEL, r"`x` has 1 channels but `kernel` expects 2 \(x.shape=\(1, 5, 5, 1\), kernel"),
        (X.astype(np.uint8), KERNEL, r"`x` must hold floating-point numbers \(x.dtype='uint8'\). Convert it: x.astype"),
        (X.astype(np.float32), KERNEL, r"all arrays must share one dtype \(x.dtype='float32', kernel"),
        (X[:, :2], KERNEL, r"the kernel spans 3 pixels but the padded input has 2 \(size=2, kernel_size=3"),
    ],
)  # fmt: skip
def test_conv2d_bad_arrays(function, x, kernel, message):
    with pytest.raises(ValueError, match=f"^{function.__name__}: {message}"):
        function(x, kernel)


@pytest.mark.parametrize("function", [scratch.conv2d_forward, tfops.conv2d])
@pytest.mark.parametrize(
    "settings_, message",
    [
        (dict(stride=-1), r"`stride` must be an integer >= 1 \(stride=-1\)"),
        (dict(stride=(1, 2, 3)), r"`stride` must be one integer, or one per axis \(2\)"),
        (dict(padding="sane"), "`padding` must be one of 'valid', 'same', 'full', 'causal'"),
        (dict(padding=((1, 1),)), r"`padding` must give one \(before, after\) pair per axis, 2 in all"),
        (dict(dilation=3), "the kernel spans 7 pixels but the padded input has 5"),
    ],
)
def test_conv2d_bad_settings(function, settings_, message):
    with pytest.raises(ValueError, match=f"^{function.__name__}: {message}"):
        function(X, KERNEL, **settings_)


def test_following_the_remedies():
    scratch.conv2d_forward(X[0][None], KERNEL)
    scratch.conv2d_forward(X.astype(np.uint8).astype("float64"), KERNEL)
    with pytest.raises(ValueError, match=r"Use padding >= 1 or kernel_size <= 2"):
        scratch.conv2d_forward(X, KERNEL, dilation=3)
    assert scratch.conv2d_forward(X, KERNEL, dilation=3, padding=1)[0].shape == (1, 1, 1, 4)


def test_other_bad_arrays():
    with pytest.raises(ValueError, match=r"conv2d_forward: `x` must be an array \(n, h, w, c\) .*='list'"):
        scratch.conv2d_forward(X.tolist(), KERNEL)
    with pytest.raises(ValueError, match=r"conv2d_forward: `bias` must hold one number per filter, 4 in all"):
        scratch.conv2d_forward(X, KERNEL, np.zeros(3))
    with pytest.raises(ValueError, match=r"conv2d_forward: `bias` must have 1 axes"):
        scratch.conv2d_forward(X, KERNEL, np.zeros((1, 4)))
    y, cache = scratch.conv2d_forward(X, KERNEL)
    with pytest.raises(ValueError, match=r"conv2d_backward: `dy` must have the shape .* shape \(1, 3, 3, 4\)"):
        scratch.conv2d_backward(y[:, 1:], cache)
    with pytest.raises(ValueError, match=r"conv2d_backward: all arrays must share one dtype"):
        scratch.conv2d_backward(y.astype(np.float32), cache)
    with pytest.raises(ValueError, match=r"conv1d_forward: `x` must have 3 axes \(n, steps, c\)"):
        scratch.conv1d_forward(X, KERNEL[0])
    with pytest.raises(ValueError, match=r"correlate2d: `kernel` must have 2 axes \(kh, kw\)"):
        scratch.correlate2d([[1, 2]], [1, 2])


def test_output_shapes_follow_shapes():
    y, _ = scratch.conv2d_forward(np.ones((2, 9, 7, 1)), np.ones((3, 2, 1, 5)), stride=(2, 3), padding="same")
    assert y.shape == (2, shapes.output_size(9, 3, stride=2, padding="same"), 3, 5)
