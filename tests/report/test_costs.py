"""Multiply-adds, parameters and memory against counting loops, Keras and TensorFlow's own profiler."""

import itertools
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from course_cnn import layers as ours
from course_cnn import report, zoo

quick = settings(max_examples=20, deadline=None)


def count_products(layer):
    """Count the products of one layer by going through them: every place, filter, tap and channel, one by one."""
    shape_in, shape_out, kind = layer.input.shape[1:], layer.output.shape[1:], type(layer).__name__
    if kind == "Dense":
        return sum(1 for _ in np.ndindex(*shape_in, layer.units))
    if kind == "LearnedPooling2D":
        return sum(1 for _ in np.ndindex(*shape_out, *layer.pool_size))
    places = shape_in[:-1] if "Transpose" in kind else shape_out[:-1]
    channels, total = shape_in[-1], 0
    if "Conv" in kind and "Depthwise" not in kind and "Separable" not in kind:
        groups = getattr(layer, "groups", 1)
        for _place, _tap in itertools.product(np.ndindex(*places), np.ndindex(*layer.kernel_size)):
            for f, c in np.ndindex(layer.filters, channels):
                total += f * groups // layer.filters == c * groups // channels  # a filter sees its group's channels
        return total
    middle = channels * layer.depth_multiplier
    total = sum(1 for _ in np.ndindex(*places, *layer.kernel_size, middle))
    if "Separable" in kind:
        total += sum(1 for _ in np.ndindex(*places, middle, layer.filters))
    return total


@st.composite
def makers(draw):
    """Draw a layer that multiplies with weights, on images: a function that makes it."""
    k = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    s, padding = draw(st.integers(1, 2)), draw(st.sampled_from(["valid", "same"]))
    common = {"padding": padding, "use_bias": draw(st.booleans())}
    wide = draw(st.sampled_from([1, (0, 2), "full", "causal", ((1, 0), (2, 1))]))
    n = draw(st.integers(1, 3))
    return draw(
        st.sampled_from(
            [
                partial(layers.Conv2D, n, k, strides=s, activation="relu", **common),
                partial(layers.Conv2D, 4, k, strides=s, groups=2, **common),
                partial(layers.Conv2D, n, k, dilation_rate=2, **common),
                partial(ours.Conv2D, n, k, strides=s, padding=wide, dilation_rate=min(n, 2)),
                partial(layers.DepthwiseConv2D, k, strides=s, depth_multiplier=n, **common),
                partial(layers.SeparableConv2D, 3, k, strides=s, depth_multiplier=n, **common),
                partial(layers.Conv2DTranspose, n, k, strides=s, **common),
                partial(ours.LearnedPooling2D, k, strides=s),
            ]
        )
    )


@quick
@given(drawn=st.lists(makers(), min_size=1, max_size=2), top=st.booleans())
def test_macs_and_params_of_drawn_networks(drawn, top):
    x = inputs = keras.Input((15, 13, 4))
    for make in drawn:
        layer = make()
        if x.shape[-1] % 2 and getattr(layer, "groups", 1) > 1:
            x = layers.Conv2D(4, 1)(x)
        x = layers.ReLU()(layers.BatchNormalization()(layer(x)))
    x = layers.Dense(3)(layers.Flatten()(x)) if top else layers.Dense(2)(x)
    model = keras.Model(inputs, x)
    summary = report.summarize(model)
    assert summary.unknown == ()
    for row, layer in zip(summary.rows, model.layers, strict=True):
        assert row.name == layer.name
        weighty = hasattr(layer, "kernel_size") or isinstance(layer, (layers.Dense, ours.LearnedPooling2D))
        assert row.macs == (count_products(layer) if weighty else 0)
        assert row.params == layer.count_params()
        assert row.trainable_params == sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
        assert row.output_shape == (None, *layer.output.shape[1:])
    assert summary.total_params == model.count_params()
    assert summary.total_macs == sum(row.macs for row in summary.rows)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (layers.Conv1D(3, 4, strides=2, padding="causal"), (13, 2)),
        (layers.Conv3D(2, (1, 2, 3), padding="same"), (4, 5, 6, 3)),
        (layers.Conv1DTranspose(3, 4, strides=3), (7, 2)),
        (layers.Conv3DTranspose(2, 2, strides=2, padding="same"), (3, 3, 2, 2)),
        (layers.DepthwiseConv1D(3, depth_multiplier=2), (9, 2)),
        (layers.SeparableConv1D(4, 3), (9, 2)),
        (layers.Dense(5), (4, 3, 2)),
    ],
)
def test_macs_in_one_and_three_dimensions(layer, shape):
    model = keras.Sequential([keras.Input(shape), layer])
    assert report.summarize(model).total_macs == count_products(layer)


def profiled_macs(model, size):
    """Ask TensorFlow what its convolutions and matrix products need; it counts 2 operations per product."""
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec((1, *size))).graph
    options = {**tf.compat.v1.profiler.ProfileOptionBuilder.float_operation(), "output": "none"}
    nodes, operations = [tf.compat.v1.profiler.profile(graph, cmd="op", options=options)], 0
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children)
        operations += node.float_ops if node.name in ("Conv2D", "DepthwiseConv2dNative", "MatMul") else 0
    return operations / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNet", "resnet18", "googlenet"])
def test_macs_agree_with_the_profiler_of_tensorflow(name):
    builders = {"MobileNet": partial(keras.applications.MobileNet, weights=None),
                "resnet18": partial(zoo.build_resnet, 18), "googlenet": zoo.build_googlenet}  # fmt: skip
    model = builders[name]()
    assert report.summarize(model).total_macs == profiled_macs(model, (224, 224, 3))


def test_memory_is_that_of_the_tensors():
    x = keras.Input((8, 8, 1))
    a = layers.Conv2D(2, 3, padding="same", name="a")(x)  # 128 numbers
    b = layers.Conv2D(4, 3, padding="same", name="b")(a)  # 256
    c = layers.Conv2D(2, 1, name="c")(b)  # 128
    model = keras.Model(x, layers.Add(name="sum")([a, c]))  # 128
    one, many = report.summarize(model), report.summarize(model, batch_size=7)
    assert [row.activation_bytes for row in one.rows] == [256, 512, 1024, 512, 512]
    assert one.training_bytes == 4 * (64 + 128 + 256 + 128 + 128)
    assert one.inference_bytes == 4 * (128 + 256 + 128)  # at c: its input, its output, and a for the sum
    assert one.weight_bytes == 4 * model.count_params()
    assert (many.training_bytes, many.inference_bytes) == (7 * one.training_bytes, 7 * one.inference_bytes)
    assert many.weight_bytes == one.weight_bytes


def test_memory_follows_the_dtype():
    half = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, dtype="mixed_float16"), layers.Conv2D(2, 3, dtype="bfloat16")]
    )
    summary = report.summarize(half)
    assert [row.activation_bytes for row in summary.rows] == [256, 2 * 72, 2 * 32]
    assert summary.weight_bytes == 4 * 20 + 2 * 38  # mixed: weights in float32


def test_outputs_stay_to_the_end():
    x = keras.Input((4, 4, 1))
    early = layers.Conv2D(8, 1)(x)
    late = layers.Conv2D(1, 1)(layers.Conv2D(1, 1)(early))
    assert report.summarize(keras.Model(x, late)).inference_bytes == 4 * (16 + 128)
    assert report.summarize(keras.Model(x, [early, late])).inference_bytes == 4 * (128 + 16 + 16)


def test_frozen_layers_count_as_not_trained():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.BatchNormalization(), layers.Dense(1)]
    )
    summary = report.summarize(model)
    assert (summary.total_params, summary.trainable_params) == (56 + 8 + 3, 56 + 4 + 3)
    model.layers[0].trainable = False
    assert report.summarize(model).trainable_params == 4 + 3
    model.trainable = False
    assert report.summarize(model).trainable_params == 0
