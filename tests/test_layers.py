"""The course's layers against SciPy's correlation, against Keras's own layers, and through a saved file."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import signal

from course_cnn import shapes
from course_cnn._tensorflow import tf
from course_cnn.layers import Conv2D, LearnedPooling2D

# isort: split
import keras

PADDINGS = ["valid", "same", "full", "causal", 2, (2, 1), ((0, 2), (1, 3))]


def conv2d_by_scipy(x, kernel, stride, padding, dilation):
    """Zeros around x, holes in the kernel, SciPy's correlation channel by channel, every stride-th answer kept."""
    sizes, taps = x.shape[1:3], kernel.shape[:2]
    pads = padding if isinstance(padding, tuple) and isinstance(padding[0], tuple) else (padding, padding)
    pads = [
        shapes.pad_amounts(n, k, stride=s, padding=p, dilation=d)
        for n, k, s, p, d in zip(sizes, taps, stride, pads, dilation, strict=True)
    ]
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    holes = np.zeros([d * (k - 1) + 1 for k, d in zip(taps, dilation, strict=True)] + list(kernel.shape[2:]))
    holes[:: dilation[0], :: dilation[1]] = kernel
    return np.stack(
        [
            np.stack(
                [
                    sum(signal.correlate(image[..., c], holes[:, :, c, f], "valid") for c in range(kernel.shape[2]))
                    for f in range(kernel.shape[3])
                ],
                axis=-1,
            )[:: stride[0], :: stride[1]]
            for image in x
        ]
    )


@settings(max_examples=60, deadline=None)
@given(
    padding=st.sampled_from(PADDINGS),
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    seed=st.integers(0, 99),
)
@example(padding="same", taps=(1, 3), stride=(3, 2), dilation=(1, 2), extra=(5, 2), seed=0)  # stride beyond the span
def test_conv2d_matches_scipy(padding, taps, stride, dilation, extra, seed):
    rng = np.random.default_rng(seed)
    h, w = (d * (k - 1) + 1 + more for d, k, more in zip(dilation, taps, extra, strict=True))
    x, kernel = rng.normal(size=(2, h, w, 2)), rng.normal(size=(*taps, 2, 3))
    layer = Conv2D(3, taps, strides=stride, padding=padding, dilation_rate=dilation, use_bias=False, dtype="float64")
    layer.build(x.shape)
    layer.set_weights([kernel])
    y = layer(x).numpy()
    np.testing.assert_allclose(y, conv2d_by_scipy(x, kernel, stride, padding, dilation), rtol=1e-10, atol=1e-12)
    axes = shapes.windows((h, w), taps, stride=stride, padding=padding, dilation=dilation)
    assert y.shape == layer.compute_output_shape(x.shape) == (2, *(axis.out for axis in axes), 3)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("settings", [{"strides": (2, 2)}, {"dilation_rate": 2}, {"groups": 2}, {"activation": "relu"}])
def test_valid_and_same_are_exactly_keras(padding, settings, rng):
    x = rng.normal(size=(2, 9, 12, 4)).astype("float32")
    ours, theirs = (
        Conv2D(6, (3, 4), padding=padding, **settings),
        keras.layers.Conv2D(6, (3, 4), padding=padding, **settings),
    )
    ours.build(x.shape)
    theirs.build(x.shape)
    ours.set_weights([rng.normal(size=w.shape) for w in ours.weights])
    theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(ours(x), theirs(x))
    assert ours.compute_output_shape(x.shape) == theirs.compute_output_shape(x.shape)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("strides, dilation_rate", [(1, 1), ((2, 1), 1), (2, (1, 2)), (3, 2)])
def test_unknown_sizes_give_the_same_numbers(padding, strides, dilation_rate, rng):
    layer = Conv2D(2, 3, strides=strides, padding=padding, dilation_rate=dilation_rate)
    model = keras.Sequential([keras.Input((None, None, 1)), layer])
    assert model.output_shape == (None, None, None, 2)
    for h, w in ((8, 11), (9, 7)):
        x = rng.normal(size=(1, h, w, 1)).astype("float32")
        traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 1))])(x)
        np.testing.assert_allclose(traced, layer(x), rtol=1e-6, atol=1e-6)
        assert model(x).shape == layer.compute_output_shape(x.shape)
    assert layer.compute_output_shape((None, None, 9, 1))[1] is None


@pytest.mark.parametrize("padding", PADDINGS)
def test_conv2d_config_round_trips(padding):
    layer = Conv2D(4, (3, 2), strides=(2, 1), padding=padding, dilation_rate=(1, 2), activation="tanh", use_bias=False)
    again = Conv2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.padding == padding
    assert Conv2D(1, 3, padding=[[0, 2], [1, 3]]).padding == ((0, 2), (1, 3))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
def test_models_save_and_load(tmp_path, rng):
    x = rng.normal(size=(3, 12, 10, 2)).astype("float32")
    image = keras.Input((None, None, 2))
    y = Conv2D(4, 3, padding=((2, 0), (1, 1)), strides=2, dilation_rate=2)(image)
    y = LearnedPooling2D((2, 1))(Conv2D(5, 3, padding="FULL", activation="relu")(y))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(y))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
def test_every_dtype_trains(dtype, rng):
    model = keras.Sequential(
        [
            keras.Input((9, 8, 1), dtype="float64" if dtype == "float64" else "float32"),
            Conv2D(3, 3, strides=2, dilation_rate=2, padding="same", dtype=dtype),
            LearnedPooling2D(2, dtype=dtype),
        ]
    )
    x = rng.normal(size=(4, 9, 8, 1))
    before = model.get_weights()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.cast(model(x), "float32") ** 2)
    for gradient, weight in zip(tape.gradient(loss, model.trainable_variables), before, strict=True):
        assert gradient.shape == weight.shape
        assert weight.ndim == 1 or np.abs(gradient).max() > 0
    assert model.layers[0].compute_dtype == dtype.removeprefix("mixed_")


@pytest.mark.slow
def test_conv2d_learns_a_known_kernel(rng):
    keras.utils.set_random_seed(0)
    x, kernel = rng.normal(size=(32, 8, 8, 1)), rng.normal(size=(3, 3, 1, 1))
    y = conv2d_by_scipy(x, kernel, (2, 2), "full", (2, 2))
    layer = Conv2D(1, 3, strides=2, padding="full", dilation_rate=2)
    model = keras.Sequential([keras.Input((8, 8, 1)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(x, y, epochs=150, batch_size=32, verbose=0)
    np.testing.assert_allclose(layer.kernel, kernel, atol=0.01)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"padding": "ful"}, "`padding` must be one of 'valid', 'same', 'full', 'causal'"),
        ({"padding": -1}, "`padding` must be an integer >= 0"),
        ({"padding": (1, 2, 3)}, r"a \(before, after\) pair"),
        ({"padding": ((1, 1),)}, "one .* pair per axis, 2 in all"),
        ({"strides": -1}, "`strides` must be an integer >= 1"),
        ({"strides": (1, 2, 3)}, r"one per axis \(2\)"),
        ({"dilation_rate": 0}, "`dilation_rate` must be an integer >= 1"),
        ({"kernel_size": 2.5}, "`kernel_size` must be an integer >= 1"),
        ({"filters": 0}, "`filters` must be an integer >= 1"),
        ({"groups": 3}, r"`groups` must divide `filters` \(groups=3, filters=4\). Use groups=1"),
        ({"data_format": "channels_first"}, "channels last"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"Conv2D: .*{message}"):
        Conv2D(**{"filters": 4, "kernel_size": 3, **arguments})


def test_kernel_that_does_not_fit_says_what_would():
    x = np.zeros((1, 4, 9, 1))
    with pytest.raises(ValueError, match=r"kernel spans 6 pixels .*size=4.* Use padding >= 1 or kernel_size <= 4"):
        Conv2D(2, 6)(x)
    assert Conv2D(2, 6, padding=1)(x).shape == (1, 1, 6, 2)
    assert Conv2D(2, 4)(x).shape == (1, 1, 6, 2)
    layer = Conv2D(2, 4)
    layer(x)
    with pytest.raises(ValueError, match="kernel spans 4 pixels"):  # a later input, layer already built
        layer(x[:, :3])


def test_wrong_inputs_are_refused():
    x, layer = np.zeros((1, 5, 6, 3)), Conv2D(2, 3)
    with pytest.raises(ValueError, match=r"4 axes \(n, h, w, c\) \(input.shape=\(5, 6, 3\)\). .*x\[None\]"):
        layer(x[0])
    assert layer(x[0][None]).shape == (1, 3, 4, 2)
    with pytest.raises(ValueError, match="2 channels but the layer was built for 3"):
        layer(x[..., :2])
    with pytest.raises(ValueError, match=r"multiple of `groups` \(groups=2.* Use groups=1"):
        Conv2D(4, 3, groups=2)(x)
    with pytest.raises(ValueError, match="must be known"):
        Conv2D(4, 3)(keras.Input((5, 5, None)))


@pytest.mark.parametrize("pool_size, strides", [(2, None), ((2, 3), None), (3, 1), ((3, 2), (2, 3)), (1, 2), (2, 5)])
def test_learned_pooling_starts_as_average_pooling(pool_size, strides, rng):
    x = rng.normal(size=(2, 9, 11, 3)).astype("float32")
    layer = LearnedPooling2D(pool_size, strides=strides)
    want = keras.layers.AveragePooling2D(pool_size, strides)(x)
    np.testing.assert_allclose(layer(x), want, rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, 9, None, 3)) == (None, want.shape[1], None, 3)
    assert layer.count_params() == np.prod(layer.pool_size) * 3
    assert LearnedPooling2D.from_config(layer.get_config()).get_config() == layer.get_config()


def test_learned_pooling_is_a_depthwise_convolution(rng):
    x, window = rng.normal(size=(2, 7, 8, 3)), rng.normal(size=(2, 3, 3))
    layer = LearnedPooling2D((2, 3), strides=2, dtype="float64")
    layer.build(x.shape)
    layer.set_weights([window])
    want = tf.nn.depthwise_conv2d(x, window[..., None], strides=[1, 2, 2, 1], padding="VALID")
    np.testing.assert_allclose(layer(x), want, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_learned_pooling_learns_to_subsample(rng):
    x = rng.normal(size=(64, 8, 8, 1)).astype("float32")
    layer = LearnedPooling2D(2)
    model = keras.Sequential([keras.Input((8, 8, 1)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(x, x[:, ::2, ::2], epochs=60, batch_size=64, verbose=0)
    np.testing.assert_allclose(layer.window[..., 0], [[1, 0], [0, 0]], atol=0.05)


def test_learned_pooling_refuses_what_cannot_work():
    x = np.zeros((1, 3, 5, 1))
    with pytest.raises(ValueError, match=r"larger than the image \(pool_size=\(4, 4\).* pool_size=3"):
        LearnedPooling2D(4)(x)
    assert LearnedPooling2D(3)(x).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="`pool_size` must be an integer >= 1"):
        LearnedPooling2D(0)
    with pytest.raises(ValueError, match="`strides` must be an integer >= 1"):
        LearnedPooling2D(2, strides=0)
    with pytest.raises(ValueError, match="4 axes"):
        LearnedPooling2D(2)(x[0])


@pytest.fixture
def rng():
    return np.random.default_rng(0)
