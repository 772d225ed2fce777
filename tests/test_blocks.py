"""Blocks against the same formulas written with `tf.nn` and NumPy, in float64, from the block's own weights."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from course_cnn._tensorflow import tf
from course_cnn.layers import ConvBlock, IdentityShortcut, ResidualBlock

# isort: split
import keras

EPSILON = 1.001e-5


def randomize(layer, seed=0):
    """Give every weight a value of its own, moving statistics included, so that none can be mistaken."""
    rng = np.random.default_rng(seed)
    layer.set_weights(
        [
            rng.uniform(0.5, 2, w.shape) if "variance" in w.path else rng.normal(size=w.shape) + ("gamma" in w.path)
            for w in layer.weights
        ]
    )


def weights_by_name(layer, name):
    """{"1_conv": {"kernel": array}, "1_bn": {"gamma": …}, …} of a block of this name."""
    found = {}
    for w in layer.weights:
        owner, kind = w.path.split("/")[-2:]
        found.setdefault(owner.removeprefix(f"{name}_"), {})[kind] = w.numpy()
    return found


def convolve(x, weights, strides):
    """Zeros around the image so that a kernel of stride 1 keeps its size, then every stride-th position."""
    pad = weights["kernel"].shape[0] // 2
    x = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    y = tf.nn.conv2d(x, filters=weights["kernel"], strides=strides, padding="VALID").numpy()
    return y + weights.get("bias", 0)


def normalize(x, weights, training):
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    if training:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return weights["gamma"] * (x - mean) / np.sqrt(variance + EPSILON) + weights["beta"]


def relu(x):
    return np.maximum(x, 0)


def residual_by_hand(x, weights, *, strides, bottleneck, shortcut, preactivation, training, **_):
    """Figures 2 and 5 of He et al. 2016, and figure 4(e) of the second paper, spelled out."""
    last, first = (3 if bottleneck else 2), x
    if preactivation:
        first = relu(normalize(x, weights["preact_bn"], training))
    y = first
    for i in range(1, last + 1):
        y = convolve(y, weights[f"{i}_conv"], strides if i == 1 else 1)
        if i < last or not preactivation:
            y = normalize(y, weights[f"{i}_bn"], training)
        if i < last:
            y = relu(y)
    if shortcut is None:
        return y if preactivation else relu(y)
    way = first if preactivation == "both" else x
    if strides > 1 or x.shape[-1] != y.shape[-1]:
        if shortcut == "identity":
            zeros = np.zeros((*y.shape[:3], y.shape[3] - x.shape[3]))
            way = np.concatenate([way[:, ::strides, ::strides], zeros], axis=-1)
        else:
            way = convolve(first, weights["0_conv"], strides)
            way = way if preactivation else normalize(way, weights["0_bn"], training)
    return way + y if preactivation else relu(way + y)


CONFIGURATIONS = st.fixed_dictionaries(
    {
        "filters": st.integers(1, 4),
        "strides": st.integers(1, 3),
        "bottleneck": st.booleans(),
        "shortcut": st.sampled_from(["projection", "identity", None]),
        "preactivation": st.sampled_from([False, True, "both"]),
        "use_bias": st.booleans(),
    }
)
SAME = {
    "filters": 3,
    "strides": 1,
    "bottleneck": False,
    "shortcut": "identity",
    "preactivation": False,
    "use_bias": True,
}
WIDER = {
    "filters": 1,
    "strides": 2,
    "bottleneck": True,
    "shortcut": "identity",
    "preactivation": True,
    "use_bias": True,
}


@settings(max_examples=25, deadline=None)
@given(
    config=CONFIGURATIONS, size=st.tuples(st.integers(1, 8), st.integers(1, 8)), channels=st.integers(1, 5),
    training=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
@example(config=SAME, size=(1, 2), channels=3, training=True, seed=0)  # the shortcut is x itself
@example(config=SAME | {"shortcut": "projection"}, size=(3, 2), channels=3, training=False, seed=0)
@example(config=WIDER, size=(5, 6), channels=3, training=True, seed=0)
@example(config=WIDER | {"shortcut": "projection"}, size=(5, 6), channels=3, training=True, seed=0)
def test_residual_block_matches_the_papers_figures(config, size, channels, training, seed):
    outputs = config["filters"] * (4 if config["bottleneck"] else 1)
    assume(config["shortcut"] != "identity" or channels <= outputs)
    block = ResidualBlock(**config, dtype="float64", name="block")
    x = np.random.default_rng(seed).normal(size=(3, *size, channels))
    shape = block.compute_output_shape((None, *size, channels))
    assert shape == (None, -(-size[0] // config["strides"]), -(-size[1] // config["strides"]), outputs)

    block.build(x.shape)
    randomize(block, seed)
    want = residual_by_hand(x, weights_by_name(block, "block"), **config, training=training)
    inputs = keras.Input(x.shape[1:], dtype="float64")
    flat = keras.Model(inputs, block.call(inputs))  # the same weights in a flat graph
    assert not any(isinstance(layer, (ConvBlock, ResidualBlock)) for layer in flat.layers)
    before = block.get_weights()
    for layer in (block, flat):
        block.set_weights(before)
        y = layer(x, training=training).numpy()
        assert y.shape[1:] == shape[1:]
        np.testing.assert_allclose(y, want, rtol=1e-9, atol=1e-9 * np.abs(want).max() + 1e-12)
        moved = [not np.array_equal(a, b) for a, b in zip(before, block.get_weights(), strict=True)]
        assert moved == [training and "moving" in w.path for w in block.weights]

    fresh = ResidualBlock.from_config(block.get_config())  # a builder's way: never built as a whole
    model = keras.Model(inputs, fresh.call(inputs))
    assert [layer.name for layer in model.layers[1:]] == [layer.name for layer in flat.layers[1:]]
    assert [w.shape for w in model.weights] == [w.shape for w in flat.weights]


@settings(max_examples=15, deadline=None)
@given(
    filters=st.integers(1, 4), kernel_size=st.integers(1, 4), strides=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid", 1, 2]), normalization=st.sampled_from(["batch", None]),
    activation=st.sampled_from(["relu", None]), use_bias=st.sampled_from([True, False, None]), seed=st.integers(0, 99),
)  # fmt: skip
def test_conv_block_matches_tensorflow(seed, **config):
    block = ConvBlock(**config, dtype="float64", name="block")
    x = np.random.default_rng(seed).normal(size=(2, 5, 6, 3))
    block.build(x.shape)
    randomize(block, seed)
    weights = weights_by_name(block, "block")
    padding = config["padding"]
    if isinstance(padding, int):
        padding = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    padding = padding.upper() if isinstance(padding, str) else padding
    for training in (False, True):
        want = tf.nn.conv2d(x, weights["conv"]["kernel"], config["strides"], padding).numpy()
        bias = config["normalization"] is None if config["use_bias"] is None else config["use_bias"]
        assert ("bias" in weights["conv"]) == bias
        raw = want = want + weights["conv"].get("bias", 0)
        want = want if config["normalization"] is None else normalize(want, weights["bn"], training)
        want = want if config["activation"] is None else relu(want)
        assert block.compute_output_shape(x.shape) == want.shape
        np.testing.assert_allclose(block(x, training=training), want, rtol=1e-9, atol=1e-9)
    if config["normalization"]:
        moved = 0.9 * weights["bn"]["moving_mean"] + 0.1 * raw.mean(axis=(0, 1, 2))  # the authors' Torch: momentum 0.1
        np.testing.assert_allclose(weights_by_name(block, "block")["bn"]["moving_mean"], moved, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("training", [False, True])
def test_training_reaches_the_batch_norms(training):
    """Told to the block, to its `call`, or to a layer around it that does not hand it on."""

    class Around(keras.layers.Layer):
        def __init__(self, use):
            super().__init__()
            self.use = use

        def call(self, inputs):
            return self.use(inputs)

    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    for block in (ConvBlock(4), ResidualBlock(4, strides=2), ResidualBlock(4, preactivation=True)):
        block.build(x.shape)
        randomize(block)
        before = block.get_weights()
        results = []
        for use in (block, block.call, Around(block), Around(block.call)):
            block.set_weights(before)
            results.append(use(x, training=training).numpy())
            assert any(not np.array_equal(a, b) for a, b in zip(before, block.get_weights(), strict=True)) == training
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_without_weights_a_block_is_the_identity(bottleneck, training):
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 8)).astype("float32")
    for preactivation, want in ((True, x), (False, relu(x))):
        block = ResidualBlock(2 if bottleneck else 8, bottleneck=bottleneck, preactivation=preactivation, use_bias=True)
        block.build(x.shape)
        assert block.count_params() > 0
        for w in block.weights:
            if "kernel" in w.path or "bias" in w.path:
                w.assign(np.zeros(w.shape))
        np.testing.assert_array_equal(block(x, training=training), want)


def test_identity_shortcut_takes_pixels_and_adds_zeros():
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    y = IdentityShortcut(5, strides=2)(x).numpy()
    np.testing.assert_array_equal(y[..., :3], x[:, [0, 2, 4]][:, :, [0, 2]])
    np.testing.assert_array_equal(y[..., 3:], 0)
    np.testing.assert_array_equal(IdentityShortcut(3)(x), x)
    assert IdentityShortcut(5, strides=2).compute_output_shape((None, None, 4, 3)) == (None, None, 2, 5)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
@pytest.mark.parametrize(
    "layer",
    [
        lambda: ConvBlock(4, 3, strides=2, padding=1),
        lambda: ConvBlock(4, 1, normalization=None, activation=None),
        lambda: IdentityShortcut(6, strides=2),
        lambda: ResidualBlock(4, strides=2),
        lambda: ResidualBlock(3, preactivation="both"),
        lambda: ResidualBlock(4, strides=2, bottleneck=True, shortcut="identity", preactivation=True, use_bias=True),
        lambda: ResidualBlock(4, shortcut=None),
    ],
)
def test_saved_and_loaded_gives_the_same(layer, tmp_path):
    model = keras.Sequential([keras.Input((None, None, 3)), layer()])
    randomize(model)
    x = np.random.default_rng(1).normal(size=(2, 6, 5, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert model.layers[0].get_config() == loaded.layers[0].get_config()
    np.testing.assert_array_equal(model(x), loaded(x))
    assert model.layers[0].compute_output_shape(x.shape) == model(x).shape


def test_kernels_start_as_he_et_al_propose():
    """Weights of variance 2 / fan_in: 9 * 64 inputs here; 36,864 draws stray by less than 2 %."""
    keras.utils.set_random_seed(0)
    block = ResidualBlock(64)
    block.build((None, 4, 4, 64))
    for w in block.weights:
        if "kernel" in w.path:
            assert np.std(w.numpy()) == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    block = ResidualBlock(8, strides=2, dtype=policy)
    y = block(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert {w.dtype for w in block.weights} == {"float32"}
    full = ResidualBlock(8, strides=2)
    full.build(x.shape)
    full.set_weights(block.get_weights())
    np.testing.assert_allclose(np.asarray(y, "float32"), full(x, training=True), rtol=0.1, atol=0.1)  # 8-bit mantissa


def test_a_frozen_block_keeps_its_statistics():
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    for block in (ResidualBlock(8, trainable=False), ConvBlock(8, trainable=False)):
        before = block(x).numpy()
        assert not block.trainable_weights
        np.testing.assert_array_equal(block(x, training=True), before)
        np.testing.assert_array_equal(block(x), before)
        block.trainable = True
        block(x, training=True)
        assert not np.array_equal(block(x), before)


def test_projection_and_identity_differ_by_their_parameters_only():
    build = {name: ResidualBlock(8, strides=2, shortcut=name) for name in ("projection", "identity", None)}
    counts = {}
    for name, block in build.items():
        block.build((None, 6, 6, 4))
        counts[name] = sum(w.numpy().size for w in block.trainable_weights)
    assert counts["identity"] == counts[None] == 9 * 4 * 8 + 9 * 8 * 8 + 2 * 2 * 8
    assert counts["projection"] == counts[None] + 4 * 8 + 2 * 8
    for block in (ResidualBlock(4), ResidualBlock(1, bottleneck=True)):  # shapes agree: nothing to project
        block.build((None, 6, 6, 4))
        assert not [w.path for w in block.weights if "_0_" in w.path]


@pytest.mark.parametrize(
    "layer, arguments, message",
    [
        (ConvBlock, {"filters": 0}, "`filters` must be an integer >= 1"),
        (ConvBlock, {"filters": 4, "kernel_size": (3, 3)}, "`kernel_size` must be an integer >= 1"),
        (ConvBlock, {"filters": 4, "padding": "full"}, "`padding` must be one of 'same', 'valid'"),
        (ConvBlock, {"filters": 4, "padding": 0}, "`padding` must be an integer >= 1"),
        (ConvBlock, {"filters": 4, "normalization": "layer"}, "`normalization` must be one of 'batch', None"),
        (ConvBlock, {"filters": 4, "activation": "tanh"}, "`activation` must be one of 'relu', None"),
        (IdentityShortcut, {"filters": 4, "strides": 0}, "`strides` must be an integer >= 1"),
        (ResidualBlock, {"filters": 2.5}, "`filters` must be an integer >= 1"),
        (ResidualBlock, {"filters": 4, "shortcut": "conv"}, "`shortcut` must be one of 'projection', 'identity', None"),
        (ResidualBlock, {"filters": 4, "preactivation": "pre"}, "`preactivation` must be one of False, True, 'both'"),
    ],
)
def test_wrong_arguments_are_refused(layer, arguments, message):
    with pytest.raises(ValueError, match=f"^{layer.__name__}: {message}"):
        layer(**arguments)


def test_zeros_cannot_take_channels_away():
    x = np.zeros((1, 4, 4, 8), "float32")
    for use in (
        lambda block: block.build(x.shape),
        lambda block: block(x),
        lambda block: block.call(keras.Input(x.shape[1:])),
    ):
        with pytest.raises(ValueError, match=r"^ResidualBlock: .*has 8, the output 4 .*Use shortcut=\"projection\""):
            use(ResidualBlock(1, bottleneck=True, strides=2, shortcut="identity"))
    assert ResidualBlock(1, bottleneck=True, strides=2, shortcut="projection")(x).shape == (1, 2, 2, 4)
    with pytest.raises(ValueError, match=r"^IdentityShortcut: .*\(filters=4\). Use filters=8 or more"):
        IdentityShortcut(4)(x)
    assert IdentityShortcut(8)(x).shape == x.shape


@pytest.mark.parametrize("layer", [ConvBlock(4), ResidualBlock(4), IdentityShortcut(4)])
def test_one_image_is_not_a_batch(layer):
    x = np.zeros((6, 6, 3), "float32")
    with pytest.raises(ValueError, match=r"the input must have 4 axes \(n, h, w, c\) .*x\[None\]"):
        layer(x)
    assert layer(x[None]).shape == (1, 6, 6, 4)
