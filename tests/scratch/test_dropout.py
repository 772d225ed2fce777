"""Scratch dropout against its definition, TensorFlow with the same mask, central differences and statistics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import scratch
from course_cnn._tensorflow import tf

# isort: split
import keras


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), rate=st.sampled_from([0, 0.2, 0.5, 0.9]),
    inverted=st.booleans(), training=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_matches_tf_with_the_same_mask(shape, rate, inverted, training, seed):
    """TensorFlow multiplies by our mask, scaled where the definition says so; value and gradient must agree."""
    rng = np.random.default_rng(seed)
    x, dy = np.asarray(rng.normal(size=shape)), np.asarray(rng.normal(size=shape))
    y, cache = scratch.dropout_forward(x, rate, training=training, inverted=inverted, rng=seed)
    mask = tf.constant(np.asarray(y != 0), tf.float64)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        if training:
            want = inputs * mask / (1 - rate) if inverted else inputs * mask
        else:
            want = inputs if inverted else inputs * (1 - rate)
    np.testing.assert_allclose(y, want, rtol=1e-14)
    dx = scratch.dropout_backward(dy, cache)
    np.testing.assert_allclose(dx, tape.gradient(want, inputs, output_gradients=dy), rtol=1e-14)
    assert y.shape == dx.shape == shape


@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_central_differences(inverted, training):
    """The same seed draws the same mask, so the layer is a fixed linear function here."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2))

    def loss(x):
        return np.vdot(scratch.dropout_forward(x, 0.4, training=training, inverted=inverted, rng=7)[0], dy)

    _, cache = scratch.dropout_forward(x, 0.4, training=training, inverted=inverted, rng=7)
    numeric = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        numeric[index] = (loss(up) - loss(down)) / 2e-5
    np.testing.assert_allclose(scratch.dropout_backward(dy, cache), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_values_are_those_of_the_keras_layer(rate):
    """On ones: dropped units give 0, kept ones 1 / (1 - rate); nothing else occurs, in either library."""
    ours, _ = scratch.dropout_forward(np.ones(1000), rate, rng=0)
    theirs = keras.layers.Dropout(rate, seed=0, dtype="float64")(np.ones(1000), training=True).numpy()
    np.testing.assert_allclose(np.unique(ours), [0, 1 / (1 - rate)])
    np.testing.assert_allclose(np.unique(theirs), np.unique(ours), rtol=1e-7)
    calm = scratch.dropout_forward(np.ones(1000), rate, training=False)[0]
    np.testing.assert_array_equal(calm, keras.layers.Dropout(rate, dtype="float64")(np.ones(1000), training=False))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_as_many_are_dropped_as_asked(rate):
    """Within five standard deviations of a binomial count; drawn alike at every place, with no unit favoured."""
    n = 200_000
    kept = scratch.dropout_forward(np.ones((n // 10, 10)), rate, rng=1)[0] > 0
    spread = np.sqrt(rate * (1 - rate))
    assert abs(kept.mean() - (1 - rate)) < 5 * spread / np.sqrt(n)
    assert np.abs(kept.mean(axis=0) - (1 - rate)).max() < 5 * spread / np.sqrt(n / 10)
    neighbours = np.corrcoef(kept.T)[~np.eye(10, dtype=bool)]
    assert np.abs(neighbours).max() < 5 / np.sqrt(n / 10)  # units fall independently of each other


@pytest.mark.parametrize("inverted", [True, False])
def test_training_and_inference_have_the_same_mean(inverted):
    x = np.linspace(-2, 3, 7)
    masks = np.broadcast_to(x, (100_000, 7))
    mean = scratch.dropout_forward(masks, 0.3, inverted=inverted, rng=2)[0].mean(axis=0)
    calm, _ = scratch.dropout_forward(x, 0.3, training=False, inverted=inverted)
    spread = np.abs(x) * np.sqrt(0.3 / 0.7) * (1 if inverted else 0.7)
    assert (np.abs(mean - calm) <= 5 * spread / np.sqrt(len(masks))).all()


def test_randomness_is_the_callers():
    x = np.ones(1000)
    draw = lambda rng: scratch.dropout_forward(x, 0.5, rng=rng)[0]  # noqa: E731
    np.testing.assert_array_equal(draw(3), draw(np.random.default_rng(3)))
    np.testing.assert_array_equal(draw(np.int64(3)), draw(3))
    assert (draw(3) != draw(4)).any()
    assert (draw(None) != draw(None)).any()
    rng, untouched = np.random.default_rng(3), np.random.default_rng(3)
    assert (draw(rng) != draw(rng)).any()  # a generator moves on
    scratch.dropout_forward(x, 0.5, training=False, rng=untouched)
    np.testing.assert_array_equal(draw(untouched), draw(3))  # and not at inference


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_inputs_are_left_alone(dtype, inverted, training):
    x, dy = np.ones((3, 4), dtype), np.ones((3, 4), dtype)
    y, cache = scratch.dropout_forward(x, 0.5, training=training, inverted=inverted, rng=0)
    dx = scratch.dropout_backward(dy, cache)
    assert y.dtype == dx.dtype == dtype
    y[:], dx[:] = 9, 9
    assert (x == 1).all()
    assert (dy == 1).all()
    np.testing.assert_array_equal(
        scratch.dropout_backward(dy, cache), scratch.dropout_forward(x, 0.5, training=training, inverted=inverted,
                                                                     rng=0)[0]
    )  # fmt: skip


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, 1.5, float("nan"), True, "0.5", None])
def test_rates_that_mean_nothing(rate):
    """At rate=1 all is dropped and 1 / (1 - rate) is infinite."""
    with pytest.raises(ValueError, match=r"dropout_forward: `rate` must be a number from 0 to below 1 .*rate=0.5"):
        scratch.dropout_forward(np.ones(3), rate)
    scratch.dropout_forward(np.ones(3), 0.5)


def test_numpy_rates_count():
    np.testing.assert_array_equal(scratch.dropout_forward(np.ones(3), np.float32(0), rng=0)[0], np.ones(3))


@pytest.mark.parametrize("rng", [-1, 0.5, True, "0", np.random.RandomState(0)])
def test_generators_that_are_none(rng):
    with pytest.raises(ValueError, match=r"`rng` must be a np\.random\.Generator, an int seed >= 0 or None"):
        scratch.dropout_forward(np.ones(3), 0.5, rng=rng)
    scratch.dropout_forward(np.ones(3), 0.5, rng=np.random.default_rng(0))


def test_arrays_that_do_not_fit():
    with pytest.raises(ValueError, match=r"`x` must hold floating-point numbers .*astype\('float32'\)"):
        scratch.dropout_forward(np.arange(3), 0.5)
    with pytest.raises(ValueError, match=r"`x` must be an array of floating-point .*Pass np.asarray\(x, float\)"):
        scratch.dropout_forward([1, 2, 3], 0.5)
    scratch.dropout_forward(np.asarray([1, 2, 3], float), 0.5)
    _, cache = scratch.dropout_forward(np.ones((2, 3)), 0.5, training=False)
    with pytest.raises(ValueError, match=r"dropout_backward: `dy` must have the shape .*\(2, 3\)"):
        scratch.dropout_backward(np.ones((1, 3)), cache)
    assert scratch.dropout_backward(np.ones((2, 3)), cache).shape == (2, 3)
