"""The Inception module against the same four branches written in tf.nn, and as a layer and as part of a flat graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn.layers import Inception


def by_tf(x, weights):
    """Four branches out of tf.nn and the weights in the order 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, projection."""

    def conv(x, number):
        kernel, bias = weights[2 * number : 2 * number + 2]
        return tf.nn.relu(tf.nn.conv2d(x, kernel, strides=1, padding="SAME") + bias)

    x = tf.constant(x)
    pooled = tf.nn.max_pool2d(x, 3, strides=1, padding="SAME")
    return tf.concat([conv(x, 0), conv(conv(x, 1), 2), conv(conv(x, 3), 4), conv(pooled, 5)], axis=3)


def in_order(block):
    layers = [block.conv_1x1, block.reduce_3x3, block.conv_3x3, block.reduce_5x5, block.conv_5x5, block.projection]
    return [weight.numpy() for layer in layers for weight in layer.weights]


def fill(block, rng):
    for weight in block.weights:
        weight.assign(rng.normal(size=weight.shape))


@settings(max_examples=20, deadline=None)
@given(
    filters=st.tuples(*[st.integers(1, 4)] * 6), h=st.integers(1, 6), w=st.integers(1, 6), channels=st.integers(1, 4),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_matches_tf(filters, h, w, channels, seed):
    rng = np.random.default_rng(seed)
    x, block = rng.normal(size=(2, h, w, channels)), Inception(filters, dtype="float64")
    block.build(x.shape)
    fill(block, rng)
    want = by_tf(x, in_order(block))
    np.testing.assert_allclose(block(x), want, rtol=1e-10, atol=1e-12)
    assert block.compute_output_shape(x.shape) == tuple(want.shape)
    one, reduce3, three, reduce5, five, projection = filters
    weights = channels * (one + reduce3 + reduce5 + projection) + 9 * reduce3 * three + 25 * reduce5 * five
    assert block.count_params() == weights + sum(filters)


def test_inputs_of_any_size():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, Inception((1, 2, 3, 4, 5, 6))(inputs))
    assert model.output_shape == (None, None, None, 15)
    for size in (1, 4, 7):
        assert model(np.zeros((1, size, 2 * size, 3))).shape == (1, size, 2 * size, 15)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
def test_saved_and_loaded_in_a_model(tmp_path):
    block = Inception((2, 3, 4, 1, 2, 1), name="inception_3a")
    model = keras.Sequential([keras.Input((5, 6, 3)), block])
    fill(block, np.random.default_rng(0))
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    x = np.random.default_rng(1).normal(size=(2, 5, 6, 3))
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.get_layer("inception_3a").get_config() == block.get_config()


def test_call_puts_the_layers_into_a_flat_graph():
    inputs = keras.Input((5, 6, 3))
    flat = keras.Model(inputs, Inception((2, 3, 4, 1, 2, 1), name="3a").call(inputs))
    assert sorted(layer.name for layer in flat.layers[1:]) == sorted(
        f"3a_{name}" for name in ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool", "pool_proj", "output")
    )
    block = Inception((2, 3, 4, 1, 2, 1), name="3a")
    block.build((None, 5, 6, 3))
    for name in ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"):
        twin = next(layer for layer in vars(block).values() if getattr(layer, "name", None) == f"3a_{name}")
        twin.set_weights(flat.get_layer(f"3a_{name}").get_weights())
    x = np.random.default_rng(1).normal(size=(2, 5, 6, 3))
    np.testing.assert_allclose(block(x), flat(x), rtol=1e-6)


def test_dtype_reaches_the_branches():
    block = Inception((1, 1, 1, 1, 1, 1), dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(block(np.zeros((1, 3, 3, 2), "float32")).dtype) == "bfloat16"
    assert {weight.dtype for weight in block.weights} == {"float32"}


@pytest.mark.parametrize(
    "filters, message",
    [
        ((64, 96, 128, 16, 32), "six integers"),
        ((64, 96, 128, 16, 32, 0), "`filters` must be an integer >= 1"),
        ((64, 96, 128, 16, 32, 1.5), "`filters` must be an integer >= 1"),
    ],
)
def test_wrong_filters_are_refused(filters, message):
    with pytest.raises(ValueError, match=f"Inception: .*{message}"):
        Inception(filters)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="Inception: the input must have 4 axes"):
        Inception((1, 1, 1, 1, 1, 1))(np.zeros((3, 3, 2)))
