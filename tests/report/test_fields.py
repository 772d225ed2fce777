"""Receptive fields against gradients: which pixels a unit of a random linear network really depends on."""

import math
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from course_cnn import augment, report, shapes
from course_cnn import layers as ours

weights = keras.initializers.RandomUniform(0.5, 1.5)  # all positive: nothing cancels, no gradient is 0 by chance


def seen(model, units, source=0):
    """Yield the (first, last) pixels per axis that each of these units of the output depends on"""

    @tf.function(jit_compile=False)  # as a graph: the gradients of the weights are not computed
    def gradient(images):
        y = model(images if len(images) > 1 else images[0], training=False)
        return tf.gradients(tf.gather_nd(y, [(i, *unit) for i, unit in enumerate(units)]), images)

    images = [tf.ones((len(units), *x.shape[1:])) for x in model.inputs]
    for answer in np.abs(gradient(images)[source].numpy()).sum(axis=-1):
        hit = np.argwhere(answer > 0)
        yield list(zip(hit.min(axis=0).tolist(), hit.max(axis=0).tolist(), strict=True))


def check_field(model):
    """Assert that the gradients of central units say the same as the report: sizes, jumps, places, on every axis.

    Returns False if a field would touch the border, where it is cut off.
    """
    field = report.summarize(model).receptive_field
    rank, sizes = len(model.output.shape) - 2, model.input.shape[1:-1]
    axes = field if isinstance(field[0], tuple) else (field,) * rank
    middle = [n // 2 for n in model.output.shape[1:-1]]
    for i, axis in enumerate(axes):
        period = ups(model, i)  # after so many units all repeats
        first = middle[i] // period * period
        centre, way = axis.start + first * axis.jump, period * axis.jump
        if period > 12 or not (centre > axis.size and centre + way + axis.size < sizes[i] - 1):
            return False
        units = [[*middle[:i], first + step, *middle[i + 1 :]] for step in range(period + 1)]
        patches = [patch[i] for patch in seen(model, units)]
        assert max(last - first + 1 for first, last in patches) == axis.size
        assert patches[-1][0] - patches[0][0] == patches[-1][1] - patches[0][1] == round(way, 6)
        assert sum(patches[0]) / 2 == round(centre, 6)
    return True


def ups(model, axis):
    """Multiply the factors by which layers make the image larger along an axis."""
    factors = [part.size[axis] for part in model.layers if isinstance(part, layers.UpSampling2D)]
    factors += [part.size for part in model.layers if isinstance(part, layers.UpSampling1D)]
    factors += [part.strides[axis] for part in model.layers if "Transpose" in type(part).__name__]
    return math.prod(factors)


def conv(k, kind=layers.Conv2D, **kwargs):
    return partial(kind, 2, k, use_bias=False, kernel_initializer=weights, **kwargs)


def residual(k):
    def apply(x):
        y = conv(k, padding="same")()(x)
        return layers.Add()([conv(1)()(x), conv(1)()(y)])

    return lambda: apply


def shrinking_residual(k, s):
    def apply(x):
        return layers.Add()([conv(1, strides=s, padding="same")()(x), conv(k, strides=s, padding="same")()(x)])

    return lambda: apply


def inception(k):
    def apply(x):
        branches = [conv(1)()(x), conv(k, padding="same")()(conv(1)()(x)), conv(5, padding="same")()(x),
                    layers.AveragePooling2D(3, 1, "same")(x)]  # fmt: skip
        return conv(1)()(layers.Concatenate()(branches))

    return lambda: apply


def valley(k, up):
    """Down by 2, on, up by 2, and joined with what was there before, as in a U-Net."""

    def apply(x):
        h, w = x.shape[1:3]
        x = layers.Cropping2D(((0, h % 2), (0, w % 2)))(x)
        y = conv(k, strides=2, padding="same")()(x)
        y = conv(3, padding="same")()(y)
        return layers.Add()([conv(1)()(x), up()(y)])

    return lambda: apply


@st.composite
def makers(draw):
    """Draw a layer or a little graph: a function that makes a function of a tensor."""
    k = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    s, d = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding, way = draw(st.sampled_from(["valid", "same"])), draw(st.sampled_from(["nearest", "bilinear"]))
    wide = draw(st.sampled_from([1, (0, 2), "full", "causal", ((1, 0), (2, 1))]))
    fixed = {"use_bias": False, "depthwise_initializer": weights, "padding": padding}
    up = [
        partial(layers.UpSampling2D, 2, interpolation=way),
        conv(2, layers.Conv2DTranspose, strides=2),
        conv(3, layers.Conv2DTranspose, strides=2, padding="same"),
    ]
    return draw(
        st.sampled_from(
            [
                conv(k, strides=s, padding=padding),
                conv(k, dilation_rate=d, padding=padding),
                conv(k, groups=2, padding=padding),
                conv(k, ours.Conv2D, strides=s, dilation_rate=d, padding=wide),
                partial(layers.DepthwiseConv2D, k, strides=s, **fixed),
                partial(layers.SeparableConv2D, 2, k, strides=s, pointwise_initializer=weights, **fixed),
                conv([max(n, s) for n in k], layers.Conv2DTranspose, strides=s, padding=padding),
                partial(layers.UpSampling2D, (s, d), interpolation=way),
                partial(layers.AveragePooling2D, k, s, padding=padding),
                partial(ours.LearnedPooling2D, k, strides=s),
                partial(layers.ZeroPadding2D, ((d, 0), (0, s))),
                partial(layers.Cropping2D, ((0, s), (d, 1))),
                partial(layers.BatchNormalization),
                residual(k),
                shrinking_residual(k, s),
                inception(k),
                valley(k, draw(st.sampled_from(up))),
            ]
        )
    )


def check_drawn(makers):
    x = inputs = keras.Input((101, 84, 2))
    for make in makers:
        x = make()(x)
        assume(min(x.shape[1:3]) > 4 and max(x.shape[1:3]) < 250)
    assume(check_field(keras.Model(inputs, x)))


@settings(max_examples=8, deadline=None)
@given(makers=st.lists(makers(), min_size=1, max_size=4))
def test_drawn_networks_see_what_is_reported(makers):
    check_drawn(makers)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(makers=st.lists(makers(), min_size=2, max_size=4))
def test_many_drawn_networks_see_what_is_reported(makers):
    check_drawn(makers)


@settings(max_examples=25, deadline=None)
@given(
    stack=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=6
    )
)
def test_stacks_agree_with_shapes(stack):
    parts = [ours.Conv2D(1, k, strides=s, dilation_rate=d, padding=p) for k, s, d, p in stack]
    summary = report.summarize(keras.Sequential([keras.Input((4000, 4000, 1)), *parts]))
    for number, row in enumerate(summary.rows):
        assert row.receptive_field == shapes.receptive_field(stack[:number])


@pytest.mark.parametrize(
    "shape, parts",
    [
        ((80, 2), [conv(3, layers.Conv1D, padding="causal", strides=2), conv(2, layers.Conv1D, dilation_rate=3)]),
        ((80, 2), [conv(4, layers.Conv1DTranspose, strides=2), partial(layers.AveragePooling1D, 3, 3, padding="same")]),
        ((80, 2), [partial(layers.UpSampling1D, 2), partial(layers.Cropping1D, (3, 0)), conv(5, layers.Conv1D)]),
        ((24, 30, 20, 1), [conv((2, 3, 1), layers.Conv3D, strides=(1, 2, 1)), partial(layers.AveragePooling3D, 2, 1)]),
        ((24, 30, 20, 1), [partial(layers.ZeroPadding3D, 1), conv(3, layers.Conv3DTranspose, strides=2)]),
        ((40, 50, 1), [conv(3), partial(layers.Permute, (2, 1, 3)), conv((1, 4), strides=2)]),
        ((44, 60, 1), [partial(layers.Resizing, 66, 40), conv(3)]),
        ((44, 60, 1), [partial(layers.Resizing, 66, 40, interpolation="nearest"), conv(3)]),
        ((40, 50, 1), [lambda: lambda x: ops.pad(x, ((0, 0), (2, 0), (1, 1), (0, 0))), conv((2, 3))]),
        ((40, 50, 1), [conv(2), lambda: lambda x: x[:, 3:-1:2, ::3], conv(3)]),
        ((40, 50, 1), [conv(2), lambda: lambda x: x[..., 1:, :], conv(3)]),
        ((40, 50, 1), [conv(2), lambda: lambda x: ops.average_pool(x, 3, strides=2, padding="same"), conv(3)]),
        ((40, 50, 1), [conv(2), lambda: lambda x: ops.max_pool(ops.average_pool(x, (1, 2)), 1, 2)]),
        ((40, 50, 4), [lambda: lambda x: ops.split(x, 2, axis=-1)[1], conv(3)]),
        ((40, 50, 4), [lambda: lambda x: ops.reshape(x, (-1, 40, 50, 2, 2)), partial(layers.Reshape, (40, 50, 4))]),
        ((40, 50, 4), [lambda: lambda x: ops.relu(ops.transpose(x, (0, 2, 1, 3))) * 2.0, conv((3, 2))]),
        ((40, 50, 4), [conv(3), lambda: lambda x: ops.mean(x, axis=-1, keepdims=True)]),
    ],
)  # fmt: skip
def test_other_layers_see_what_is_reported(shape, parts):
    x = inputs = keras.Input(shape)
    for make in parts:
        x = make()(x)
    model = keras.Model(inputs, x)
    assert report.summarize(model).unknown == ()
    if isinstance(model.layers[1], layers.Resizing):
        field = report.summarize(model).receptive_field
        widths = [[patch[i] for patch in seen(model, [(20 + n, 20) if i == 0 else (20, 20 + n) for n in range(8)])]
                  for i in range(2)]  # fmt: skip
        assert [max(last - first + 1 for first, last in width) for width in widths] == [axis.size for axis in field]
        assert [axis.jump for axis in field] == pytest.approx([44 / 66, 60 / 40])
    elif any(isinstance(part, layers.Permute) or type(part).__name__ == "Transpose" for part in model.operations):
        field = report.summarize(model).receptive_field
        patches = next(seen(model, [(12, 10)]))
        assert [last - first + 1 for first, last in patches] == [axis.size for axis in field]
    else:
        assert check_field(model)


def test_a_transposed_convolution_can_leave_gaps():
    model = keras.Sequential([keras.Input((5, 1)), layers.Conv1DTranspose(1, 1, strides=3, kernel_initializer="ones")])
    assert np.flatnonzero(model(np.ones((1, 5, 1)))).tolist() == [0, 3, 6, 9, 12]  # between them: no pixel at all
    assert report.summarize(model).receptive_field == (1, pytest.approx(1 / 3), 0)
    model.add(layers.Cropping1D((1, 0)))
    model.add(layers.AveragePooling1D(2, 3))  # reads the gaps only
    assert report.summarize(model).receptive_field == (0, 0, 0)


def test_two_inputs_are_told_apart():
    a, b = keras.Input((40, 40, 1), name="a"), keras.Input((20, 20, 2), name="b")
    x = layers.AveragePooling2D(2)(conv(3, padding="same")()(a))
    y = layers.Concatenate()([x, conv(5, padding="same")()(b)])
    only = conv(3)()(b)
    summary = report.summarize(keras.Model([a, b], [y, only]))
    rows = {row.name: row for row in summary.rows}
    joined, alone = rows[y._keras_history.operation.name], rows[only._keras_history.operation.name]
    assert joined.fields == {"a": ((4, 2, 0.5), (4, 2, 0.5)), "b": ((5, 1, 0), (5, 1, 0))}
    assert joined.receptive_field == (4, 2, 0.5)
    assert alone.fields == {"b": ((3, 1, 1), (3, 1, 1))}
    assert alone.receptive_field is None
    assert summary.receptive_field == (4, 2, 0.5)
    frame = summary.to_frame().set_index("name")
    assert frame.loc[joined.name, ["receptive_field", "jump", "receptive_field of b", "start of b"]].tolist() == [
        4,
        2,
        5,
        0,
    ]
    assert "in pixels of a; to_frame() has the other inputs" in str(summary)


def test_what_mixes_the_image_sees_all_of_it():
    x = inputs = keras.Input((32, 24, 3))
    x = conv(3, padding="same")()(x)
    s = layers.Dense(2, name="s")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply(name="scaled")([x, s])  # squeeze-and-excitation
    flat = layers.Dense(4, name="dense")(layers.Flatten(name="flat")(x))
    again = layers.Reshape((2, 2, 1), name="again")(flat)
    mean = layers.GlobalAveragePooling2D(name="mean")(again)
    pooled = layers.AveragePooling2D((32, 24))(x)  # one pixel of an image, spread over all
    shifted = layers.Add(name="shifted")([x, pooled])
    group = layers.GroupNormalization(1, name="group")(conv(3, padding="same")()(inputs))
    soft = layers.Softmax(axis=1, name="soft")(inputs)
    summary = report.summarize(keras.Model(inputs, [mean, shifted, group, soft]))
    rows = {row.name: row.receptive_field for row in summary.rows}
    everything = ((32, 0, 15.5), (24, 0, 11.5))
    for name in ("scaled", "flat", "shifted", "dense", "again", "mean", "group"):
        assert rows[name] == everything, name
    assert rows["soft"] == ((32, 0, 15.5), (1, 1, 0))
    assert summary.unknown == ()


def test_what_dense_layers_see_is_what_the_layers_before_leave():
    parts = [layers.Cropping2D(((4, 0), (0, 0))), layers.Conv2D(1, 3, strides=3), layers.Flatten(), layers.Dense(2)]
    summary = report.summarize(keras.Sequential([keras.Input((15, 16, 1)), *parts]))
    assert summary.rows[-1].receptive_field == ((9, 0, 8), (15, 0, 7))  # rows 4 to 12 of 15, columns 0 to 14 of 16
    assert summary.receptive_field == ((3, 3, 5), (3, 3, 1))


def unclear():
    x = keras.Input((16, 16, 2), name="x")
    small = layers.AveragePooling2D(2)(x)
    yield "different jumps", x, layers.Add()([small, layers.Cropping2D(4)(x)])
    yield "exchanged axes", x, layers.Add()([x, layers.Permute((2, 1, 3))(x)])
    yield "joined along an axis of the image", x, layers.Concatenate(axis=1)([x, x])
    yield "interpolation='bicubic'", x, layers.UpSampling2D(2, interpolation="bicubic")(x)
    yield "more than interpolation", x, layers.Resizing(8, 8, crop_to_aspect_ratio=True)(x)
    yield "more than interpolation", x, ops.image.resize(x, (8, 8), antialias=True)
    yield "mode 'reflect'", x, ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    yield "an index other than slices", x, x[:, 3]
    yield "runs backwards", x, x[:, ::-1]
    yield "cut into pieces", x, ops.split(x, 2, axis=1)[0]
    yield "takes an axis of the image for its channels", x, layers.Conv2D(1, 1)(layers.Permute((3, 1, 2))(x))
    small = layers.GlobalAveragePooling2D(keepdims=True)(layers.Cropping2D(4)(x))
    yield "stands still", x, layers.Multiply()([x, small])


@pytest.mark.parametrize(
    "reason, inputs, output", list(unclear()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_no_moving_patch_is_said_to_be_unknown(reason, inputs, output):
    after = layers.ReLU(name="after")(output)
    summary = report.summarize(keras.Model(inputs, after))
    assert summary.unknown == ()  # costs are known all the same
    assert summary.rows[-1].receptive_field is None
    assert summary.rows[-1].fields == {"x": None}
    assert summary.receptive_field is None
    assert reason in summary.rows[-2].note
    assert f"{summary.rows[-2].name}: receptive field unknown from here: " in str(summary)
    assert str(summary).split("after")[-1].splitlines()[0].split()[-3:] == ["?", "?", "?"]


def test_channels_may_come_first():
    convolution = layers.Conv2D(2, (3, 5), strides=2, padding="same", data_format="channels_first", name="c")
    x = keras.Input((3, 20, 30))
    model = keras.Model(x, convolution(x))
    summary = report.summarize(model)
    assert summary.total_macs == 10 * 15 * 2 * 45
    assert summary.receptive_field is None  # images are channels last here: this layer takes rows for channels
    assert "takes an axis of the image for its channels" in summary.rows[-1].note
    keras.config.set_image_data_format("channels_first")
    try:
        assert report.summarize(model).receptive_field == ((3, 2, 1), (5, 2, 1))
    finally:
        keras.config.set_image_data_format("channels_last")


def test_a_layer_that_cuts_images_at_inference_is_not_followed():
    class Cut(augment.RandomColorShift):
        """Nothing of its own, so what it does is what its parent does."""

        def compute_output_shape(self, shape):
            return (shape[0], 5, 5, shape[-1])

    summary = report.summarize(keras.Sequential([keras.Input((9, 9, 3)), augment.RandomColorShift(0.1)]))
    assert summary.receptive_field == (1, 1, 0)
    summary = report.summarize(keras.Sequential([keras.Input((9, 9, 3)), Cut(0.1)]))
    assert "changes the size of the image" in summary.rows[-1].note
