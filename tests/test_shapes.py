"""Convolution arithmetic against TensorFlow itself, brute force and published sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import shapes
from course_cnn._tensorflow import tf

SIZES = st.integers(1, 24)
TAPS = st.integers(1, 7)
STEPS = st.integers(1, 4)


def tf_row(n, taps, stride, dilation, padding):
    """Convolve the row 1, 2, 4, 8, … with a kernel of ones in TensorFlow: each sum names the pixels that made it."""
    x, kernel = 2.0 ** np.arange(n).reshape(1, n, 1, 1), np.ones((taps, 1, 1, 1))
    return tf.nn.conv2d(
        x, filters=kernel, strides=[stride, 1], dilations=[dilation, 1], padding=padding
    ).numpy()[0, :, 0, 0]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(n=SIZES, taps=TAPS, stride=STEPS, dilation=st.integers(1, 3))
def test_same_matches_tf(n, taps, stride, dilation):
    """Sizes and the exact zeros on each side, even kernels and strides included."""
    want = tf_row(n, taps, stride, dilation, "SAME")
    before, after = shapes.pad_amounts(n, taps, stride=stride, padding="same", dilation=dilation)
    assert shapes.output_size(n, taps, stride=stride, padding="same", dilation=dilation) == len(want)
    # The same zeros put there explicitly must give the same sums; one zero moved over changes them.
    explicit = tf_row(n, taps, stride, dilation, [[0, 0], [before, after], [0, 0], [0, 0]])
    np.testing.assert_array_equal(explicit[: len(want)], want)
    assert len(explicit) == len(want)


@settings(max_examples=150, deadline=None)
@given(n=SIZES, taps=TAPS, stride=STEPS, dilation=st.integers(1, 3), before=st.integers(0, 5), after=st.integers(0, 5))
def test_explicit_matches_tf(n, taps, stride, dilation, before, after):
    settings_ = dict(stride=stride, padding=(before, after), dilation=dilation)
    if before + n + after < dilation * (taps - 1) + 1:
        with pytest.raises(ValueError, match="output_size: the kernel spans"):
            shapes.output_size(n, taps, **settings_)
    else:
        want = tf_row(n, taps, stride, dilation, [[0, 0], [before, after], [0, 0], [0, 0]])
        assert shapes.output_size(n, taps, **settings_) == len(want)
        assert shapes.pad_amounts(n, taps, **settings_) == (before, after)


@settings(max_examples=60, deadline=None)
@given(n=SIZES, taps=TAPS)
def test_valid_matches_tf(n, taps):
    if n >= taps:
        assert shapes.output_size(n, taps, padding="valid") == len(tf_row(n, taps, 1, 1, "VALID"))
        assert shapes.output_size(n, taps) == shapes.output_size(n, taps, padding="VALID")


@settings(max_examples=60, deadline=None)
@given(n=SIZES, taps=TAPS)
def test_full_matches_numpy(n, taps):
    assert shapes.output_size(n, taps, padding="full") == len(np.convolve(np.ones(n), np.ones(taps), "full"))
    assert shapes.pad_amounts(n, taps, padding="full") == (taps - 1, taps - 1)


@settings(max_examples=60, deadline=None)
@given(n=SIZES, taps=TAPS, stride=STEPS, dilation=st.integers(1, 3))
def test_causal_matches_keras(n, taps, stride, dilation):
    import keras

    if stride > 1 and dilation > 1:  # Keras refuses both at once
        dilation = 1
    layer = keras.layers.Conv1D(1, taps, strides=stride, dilation_rate=dilation, padding="causal")
    want = layer.compute_output_shape((1, n, 1))[1]
    assert shapes.output_size(n, taps, stride=stride, padding="causal", dilation=dilation) == want
    assert shapes.pad_amounts(n, taps, padding="causal", dilation=dilation) == (dilation * (taps - 1), 0)


@pytest.mark.parametrize(
    "arguments, settings_, want, source",
    [
        ((227, 11), dict(stride=4), 55, "AlexNet conv1, Krizhevsky 2012, figure 2"),
        ((224, 11), dict(stride=4), 54, "the same layer on the 224 pixels the paper states: 54.25 rounded down"),
        ((224, 11), dict(stride=4, padding=2), 55, "224 with two zeros on each side"),
        ((32, 5), dict(), 28, "LeNet-5 C1, LeCun 1998, figure 2"),
        ((32, 5), dict(padding=2), 32, "lecture: ten 5x5 filters, stride 1, pad 2"),
        ((7, 3), dict(stride=2), 3, "lecture: 7x7 by 3x3, stride 2"),
        ((224, 7), dict(stride=2, padding="same"), 112, "GoogLeNet conv1, Szegedy 2015, table 1"),
        ((112, 3), dict(stride=2, padding="same"), 56, "GoogLeNet max pool 1"),
        ((5, 3), dict(padding=1, stride=2), 3, "Dumoulin & Visin 2016, figure 2.6"),
        ((7, 3), dict(dilation=2), 3, "Dumoulin & Visin 2016, figure 5.1"),
    ],
)
def test_published_sizes(arguments, settings_, want, source):
    assert shapes.output_size(*arguments, **settings_) == want, source


@settings(max_examples=80, deadline=None)
@given(layers=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2)), max_size=4))
def test_receptive_field_matches_gradient(layers):
    """Which inputs touch one unit: the non-zero gradient of a chain of all-ones convolutions."""
    field = shapes.receptive_field(layers)
    n = field.size + field.jump
    x = tf.ones((1, n, 1, 1), tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x
        for taps, stride, dilation in layers:
            y = tf.nn.convolution(y, tf.ones((taps, 1, 1, 1), tf.float64), padding="VALID", dilations=[dilation, 1])
            y = y[:, ::stride]
        first, second = y[0, 0, 0, 0], y[0, 1, 0, 0]
    seen_first, seen_second = (np.flatnonzero(tape.gradient(unit, x)[0, :, 0, 0]) for unit in (first, second))
    assert seen_first[0] == 0
    assert seen_first[-1] == field.size - 1
    assert seen_second[0] == field.jump
    assert (seen_first[0] + seen_first[-1]) / 2 == field.start


def test_receptive_field_padding_moves_the_start_only():
    assert shapes.receptive_field([(3, 1, 1, 1)]) == (3, 1, 0.0)
    assert shapes.receptive_field([(3, 2, 1, 1), (3, 1, 1, 1)]) == (7, 2, 0 - 0.0)
    assert shapes.receptive_field([]) == (1, 1, 0.0)


@settings(max_examples=40, deadline=None)
@given(
    kh=TAPS, kw=TAPS, c=st.integers(1, 3), filters=st.integers(1, 3), groups=st.integers(1, 2), use_bias=st.booleans()
)
def test_conv_params_match_keras(kh, kw, c, filters, groups, use_bias):
    import keras

    layer = keras.layers.Conv2D(filters * groups, (kh, kw), groups=groups, use_bias=use_bias)
    layer.build((None, 9, 9, c * groups))
    assert (
        shapes.conv_params((kh, kw), c * groups, filters * groups, use_bias=use_bias, groups=groups)
        == layer.count_params()
    )


def test_conv_params_defaults():
    assert shapes.conv_params(3, 3, 10) == 280
    assert shapes.conv_params((5,), 4, 2) == 5 * 4 * 2 + 2
    assert shapes.conv_params(3, 3, 3, use_bias=False, groups=3) == 27


@settings(max_examples=40, deadline=None)
@given(
    h=st.integers(4, 8), w=st.integers(4, 8), kh=st.integers(1, 3), kw=st.integers(1, 3), stride=st.integers(1, 2),
    padding=st.integers(0, 2), filters=st.integers(1, 3),
)  # fmt: skip
def test_conv_macs_match_a_count(h, w, kh, kw, stride, padding, filters):
    """Count by walking: one multiply-add per output number, tap and channel."""
    rows = range(-padding, h + padding - kh + 1, stride)
    columns = range(-padding, w + padding - kw + 1, stride)
    counted = sum(kh * kw * 2 for _ in rows for _ in columns for _ in range(filters))
    assert shapes.conv_macs((h, w), (kh, kw), 2, filters, stride=stride, padding=padding) == counted


def test_conv_macs_published():
    # Sze et al. 2017, table II: AlexNet 666 million multiply-adds in its convolutions (two groups in conv 2, 4, 5).
    layers = [
        shapes.conv_macs(227, 11, 3, 96, stride=4),
        shapes.conv_macs(27, 5, 96, 256, padding=2, groups=2),
        shapes.conv_macs(13, 3, 256, 384, padding=1),
        shapes.conv_macs(13, 3, 384, 384, padding=1, groups=2),
        shapes.conv_macs(13, 3, 384, 256, padding=1, groups=2),
    ]
    assert sum(layers) == pytest.approx(666e6, rel=1e-3)
    assert shapes.conv_macs((10,), (3,), 1, 1) == 24
    assert shapes.conv_macs(32, 5, 3, 10, padding=2) == 768_000


@pytest.mark.parametrize("word", ["full", "causal", "same", "valid"])
def test_words_in_any_case(word):
    assert shapes.output_size(9, 3, padding=word.title()) == shapes.output_size(9, 3, padding=word)


@pytest.mark.parametrize(
    "settings_, message",
    [
        (dict(stride=0), r"output_size: `stride` must be an integer >= 1 \(stride=0\). Use for example stride=1"),
        (dict(stride=-2), r"`stride` must be an integer >= 1 \(stride=-2\)"),
        (dict(stride=1.5), r"`stride` must be an integer >= 1 \(stride=1.5\)"),
        (dict(stride=True), r"`stride` must be an integer"),
        (dict(dilation=0), "`dilation` must be an integer >= 1"),
        (dict(padding=-1), r"`padding` must be an integer >= 0 \(padding=-1\)"),
        (dict(padding="smae"), r"`padding` must be one of 'valid', 'same', 'full', 'causal' \(padding='smae'\)"),
        (dict(padding=(1, 2, 3)), r"a \(before, after\) pair"),
        (dict(padding=(1, -2)), "`padding` must be an integer >= 0"),
        (dict(padding=None), "`padding` must be an integer >= 0"),
    ],
)
def test_bad_settings(settings_, message):
    with pytest.raises(ValueError, match=message):
        shapes.output_size(9, 3, **settings_)


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"output_size: `size` must be an integer >= 1 \(size=0\)"):
        shapes.output_size(0, 3)
    with pytest.raises(ValueError, match=r"pad_amounts: `kernel_size` must be an integer >= 1"):
        shapes.pad_amounts(5, "3")


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 11), taps=st.integers(1, 11), dilation=st.integers(1, 3), padding=st.integers(0, 3))
def test_remedy_is_the_smallest_that_works(n, taps, dilation, padding):
    """Follow both halves of the remedy, and see that one less does not help."""
    import re

    try:
        shapes.output_size(n, taps, padding=padding, dilation=dilation)
    except ValueError as error:
        pad, kernel = map(int, re.search(r"padding >= (\d+) or kernel_size <= (\d+)", str(error)).groups())
        assert shapes.output_size(n, taps, padding=pad, dilation=dilation) >= 1
        assert shapes.output_size(n, kernel, padding=padding, dilation=dilation) >= 1
        with pytest.raises(ValueError, match="the kernel spans"):
            shapes.output_size(n, taps, padding=pad - 1, dilation=dilation)
        with pytest.raises(ValueError, match="the kernel spans"):
            shapes.output_size(n, kernel + 1, padding=padding, dilation=dilation)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match=r"receptive_field: `windows` must hold .* triples .*windows\[1\]=3"):
        shapes.receptive_field([(3, 1, 1), 3])
    with pytest.raises(ValueError, match=r"receptive_field: `windows\[0\] stride` must be an integer >= 1"):
        shapes.receptive_field([(3, 0, 1)])
    with pytest.raises(ValueError, match=r"conv_params: `groups` must divide .*groups=2, in_channels=3"):
        shapes.conv_params(3, 3, 4, groups=2)
    with pytest.raises(ValueError, match="conv_macs: `size` and `kernel_size` must have the same number of axes"):
        shapes.conv_macs((8, 8, 8), 3, 1, 1)
    with pytest.raises(ValueError, match=r"conv_params: `kernel_size` must be an integer >= 1"):
        shapes.conv_params((3, 0), 3, 4)
    with pytest.raises(ValueError, match=r"windows: `padding` must give one \(before, after\) pair per axis, 2 in all"):
        shapes.windows((8, 8), (3, 3), padding=((1, 1), (1, 1), (1, 1)))
    with pytest.raises(ValueError, match=r"windows: `stride` must be one integer, or one per axis \(2\)"):
        shapes.windows((8, 8), (3, 3), stride=(1, 1, 1))


def test_numpy_integers_are_integers():
    assert shapes.output_size(np.int64(7), np.int32(3), stride=np.uint8(2)) == 3
