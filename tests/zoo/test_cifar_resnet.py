"""CIFAR ResNets against the paper's table, an independent count, and a forward pass written out with `tf.nn`."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import shapes
from course_cnn._tensorflow import tf
from course_cnn.layers import ResidualBlock
from course_cnn.zoo import build_cifar_plain, build_cifar_resnet, published

SMALL = {"input_shape": (12, 12, 3), "width": 0.25}
FORMS = [
    (build_cifar_plain, {}),
    (build_cifar_resnet, {}),
    (build_cifar_resnet, {"shortcut": "projection"}),
    (build_cifar_resnet, {"preactivation": True}),
    (build_cifar_resnet, {"preactivation": True, "shortcut": "projection"}),
]


def trained(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def count(depth, *, widths=(16, 32, 64), channels=3, classes=10):
    """The trained parameters of a net of 6n + 2 layers with option A, straight from section 4.2."""
    n, before, total = (depth - 2) // 6, widths[0], 9 * channels * widths[0] + 2 * widths[0]
    for filters in widths:
        total += 9 * before * filters + (2 * n - 1) * 9 * filters**2 + 2 * n * 2 * filters
        before = filters
    return total + widths[-1] * classes + classes


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110, 1202])
def test_published_parameters_are_those_of_the_text(depth):
    exact, rounded = (published.figure(f"cifar-resnet{depth}/{what}").value for what in ("params", "params-paper"))
    assert exact == count(depth)
    assert round(exact / 1e6, 1 if depth > 100 else 2) * 1e6 == pytest.approx(rounded)


@pytest.mark.parametrize("depth", [20, 110])
def test_parameters_are_the_published_ones(depth):
    assert trained(build_cifar_resnet(depth)) == published.figure(f"cifar-resnet{depth}/params").value


def test_parameters_of_the_other_forms():
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert trained(build_cifar_resnet(20, shortcut="projection")) == count(20) + projections
    assert trained(build_cifar_resnet(20, preactivation=True)) == trained(build_cifar_plain(20)) == count(20)


@pytest.mark.slow
def test_1202_layers_can_be_built():
    """14 s on two idle cores, nearly all of it for the making of 6,007 variables."""
    model = build_cifar_resnet(1202)
    assert trained(model) == published.figure("cifar-resnet1202/params").value
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    assert np.isfinite(model(x, training=True)).all()


@pytest.mark.parametrize("build, form", FORMS)
def test_layers_in_order(build, form):
    model = build(20, **form)
    convolutions = [layer for layer in model.layers if "_conv" in layer.name and "_0_" not in layer.name]
    assert len(convolutions) + 1 == 20  # and the dense layer
    assert [layer.filters for layer in convolutions] == [16] * 7 + [32] * 6 + [64] * 6
    assert [layer.output.shape[1] for layer in convolutions] == [32] * 7 + [16] * 6 + [8] * 6
    assert not any(layer.use_bias for layer in convolutions)
    assert not any(isinstance(layer, ResidualBlock) for layer in model.layers)  # flat
    assert model.layers[-1].activation.__name__ == "linear"
    ways = [layer.name for layer in model.layers if "_0_conv" in layer.name or "_shortcut" in layer.name]
    part = {"projection": "0_conv"}.get(form.get("shortcut"), "shortcut")
    assert ways == ([] if build is build_cifar_plain else [f"stage2_block1_{part}", f"stage3_block1_{part}"])
    assert sum("_add" in layer.name for layer in model.layers) == (0 if build is build_cifar_plain else 9)


def by_hand(model, x, n, shortcut, preactivation):
    """Section 4.2 written out: one function, no layers, the weights taken by name."""
    w = {"/".join(v.path.split("/")[-2:]): v.numpy() for v in model.weights}

    def conv(x, name, stride=1):
        x = tf.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]) if w[f"{name}/kernel"].shape[0] == 3 else x
        return tf.nn.conv2d(x, w[f"{name}/kernel"], stride, "VALID")

    def bn(x, name):
        return tf.nn.batch_normalization(
            x, *(w[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "beta", "gamma")), 1.001e-5
        )

    x = conv(x, "conv1_conv")
    x = x if preactivation else tf.nn.relu(bn(x, "conv1_bn"))
    for stage in (1, 2, 3):
        for i in range(1, n + 1):
            name, stride = f"stage{stage}_block{i}", 2 if stage > 1 and i == 1 else 1
            active = tf.nn.relu(bn(x, f"{name}_preact_bn")) if preactivation else x
            way = active if preactivation and stage == i == 1 else x
            y = tf.nn.relu(bn(conv(active, f"{name}_1_conv", stride), f"{name}_1_bn"))
            y = conv(y, f"{name}_2_conv")
            y = y if preactivation else bn(y, f"{name}_2_bn")
            if stride == 2 and shortcut == "identity":
                way = tf.pad(way[:, ::2, ::2], [(0, 0), (0, 0), (0, 0), (0, y.shape[-1] - way.shape[-1])])
            elif stride == 2 and shortcut:
                way = conv(active, f"{name}_0_conv", 2)
                way = way if preactivation else bn(way, f"{name}_0_bn")
            x = y if shortcut is None else way + y
            x = x if preactivation else tf.nn.relu(x)
    x = tf.nn.relu(bn(x, "post_bn")) if preactivation else x
    return tf.reduce_mean(x, (1, 2)) @ w["predictions/kernel"] + w["predictions/bias"]


def randomize_statistics(model, seed=0):
    rng = np.random.default_rng(seed)
    for w in model.weights:
        if w.path.endswith(("gamma", "moving_variance")):
            w.assign(rng.uniform(0.5, 1.5, w.shape))
        elif w.path.endswith(("beta", "moving_mean", "bias")):
            w.assign(rng.normal(0, 0.1, w.shape))


@pytest.mark.parametrize("build, form", FORMS)
def test_outputs_are_those_of_the_papers_equations(build, form):
    model = build(14, **SMALL, **form)
    randomize_statistics(model)
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
    shortcut = None if build is build_cifar_plain else form.get("shortcut", "identity")
    want = by_hand(model, x, 2, shortcut, form.get("preactivation", False)).numpy()
    np.testing.assert_allclose(model(x, training=False), want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_deeper_than_flat_is_the_same_network(monkeypatch):
    """Above 200 layers whole blocks stand in the graph. They have the layers of the flat net, and their outputs."""
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
    for build, form in (FORMS[1], FORMS[4]):
        flat = build(14, **SMALL, **form)
        randomize_statistics(flat)
        monkeypatch.setattr("course_cnn.zoo.cifar_resnet.DEEPEST_FLAT", 8)
        deep = build(14, **SMALL, **form)
        monkeypatch.undo()
        assert sum(isinstance(layer, ResidualBlock) for layer in deep.layers) == 6
        values = {"/".join(w.path.split("/")[-2:]): w.numpy() for w in flat.weights}
        assert len(values) == len(flat.weights) == len(deep.weights)
        for w in deep.weights:
            w.assign(values["/".join(w.path.split("/")[-2:])])
        np.testing.assert_allclose(flat(x, training=True), deep(x, training=True), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(flat(x), deep(x), rtol=1e-5, atol=1e-6)


def test_plain_and_residual_exchange_their_weights():
    plain, residual = build_cifar_plain(14, **SMALL), build_cifar_resnet(14, **SMALL)
    residual.set_weights(plain.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
    assert not np.allclose(plain(x), residual(x))
    for w in residual.trainable_weights:  # without its convolutions a residual net still passes the image on
        if "_2_conv" in w.path:
            w.assign(np.zeros(w.shape))
    plain.set_weights(residual.get_weights())
    bias = plain.get_layer("predictions").bias
    np.testing.assert_array_equal(plain(x), np.broadcast_to(bias, (2, 10)))
    assert np.ptp(residual(x), axis=0).max() > 0


@pytest.mark.parametrize("build, form", FORMS)
def test_gradients_arrive_everywhere_and_a_step_helps(build, form):
    keras.utils.set_random_seed(0)
    model = build(8, **SMALL, **form)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 12, 12, 3)).astype("float32"), rng.integers(0, 10, 16)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        before = loss(y, model(x, training=True))
    gradients = tape.gradient(before, model.trainable_weights)
    for w, gradient in zip(model.trainable_weights, gradients, strict=True):
        gradient = np.asarray(gradient)
        assert np.isfinite(gradient).all(), w.path
        assert np.abs(gradient).max() > 0, w.path
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss, jit_compile=False)
    losses = [model.train_on_batch(x, y) for _ in range(6)]
    assert float(losses[-1]) < float(before)
    assert float(loss(y, model(x, training=True))) < float(before)
    assert any(w.path.endswith("moving_mean") and np.abs(w.numpy()).max() > 0 for w in model.weights)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
@pytest.mark.parametrize("build, form", FORMS)
def test_saved_and_loaded_gives_the_same(build, form, tmp_path):
    model = build(8, **SMALL, **form)
    randomize_statistics(model)
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


@settings(max_examples=8, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)), channels=st.integers(1, 4), classes=st.integers(1, 5),
    width=st.sampled_from([0.01, 0.1, 0.3, 0.33, 1.5]), form=st.sampled_from(FORMS),
)  # fmt: skip
def test_any_image_any_width(size, channels, classes, width, form):
    build, options = form
    model = build(8, input_shape=(*size, channels), num_classes=classes, width=width, **options)
    assert model(np.ones((2, *size, channels), "float32")).shape == (2, classes)
    widths = [max(1, round(filters * width)) for filters in (16, 32, 64)]
    convolutions = [layer for layer in model.layers if "_conv" in layer.name and "_0_" not in layer.name]
    assert [layer.filters for layer in convolutions] == [widths[i] for i in (0, 0, 0, 1, 1, 2, 2)]
    last = tuple(
        shapes.output_size(shapes.output_size(n, 3, stride=2, padding=1), 3, stride=2, padding=1) for n in size
    )
    assert convolutions[-1].output.shape[1:3] == last
    if options.get("shortcut") != "projection":
        assert trained(model) == count(8, widths=widths, channels=channels, classes=classes)


@pytest.mark.parametrize("build", [build_cifar_resnet, build_cifar_plain])
def test_depths_not_of_the_form(build):
    with pytest.raises(ValueError, match=rf"^{build.__name__}: .*6n \+ 2 .*depth=21\). Use depth=20 or depth=26"):
        build(21)
    for depth in (20, 26):
        assert build(depth, **SMALL).output_shape == (None, 10)
    for depth in (2, 0, -4, 20.0, "20", None, True):
        with pytest.raises(ValueError, match=f"^{build.__name__}: `depth` must be an integer >= 8 .*Use .* depth=8"):
            build(depth)
    assert build(8, **SMALL).output_shape == (None, 10)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"shortcut": None}, "`shortcut` must be one of 'identity', 'projection'"),
        ({"preactivation": "both"}, "`preactivation` must be one of False, True"),
        ({"input_shape": (32, 32)}, r"\(height, width, channels\)"),
        ({"input_shape": (0, 32, 3)}, "`input_shape` must be an integer >= 1"),
        ({"num_classes": 0}, "`num_classes` must be an integer >= 1"),
        ({"width": 0}, "`width` must be a number > 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^build_cifar_resnet: .*{message}"):
        build_cifar_resnet(8, **arguments)
    if "width" in arguments:
        assert build_cifar_resnet(8, width=0.5).output_shape == (None, 10)  # what the message proposes
