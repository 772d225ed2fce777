"""ResNets for ImageNet against `keras.applications`, against torchvision's counts and against the paper's table 1."""

import gc

import keras
import numpy as np
import pytest

from course_cnn import shapes
from course_cnn._tensorflow import tf
from course_cnn.zoo import build_resnet, published

DEPTHS = (18, 34, 50, 101, 152)
BIG = (50, pytest.param(101, marks=pytest.mark.slow), pytest.param(152, marks=pytest.mark.slow))


def trained(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.fixture(scope="module", params=BIG)
def pair(request):
    """(depth, ours, theirs), every weight of theirs with a random value, moving statistics included."""
    depth, shape = request.param, (64, 96, 3)
    theirs = getattr(keras.applications, f"ResNet{depth}")(
        weights=None, classifier_activation=None, input_shape=shape, classes=1000
    )
    rng = np.random.default_rng(depth)
    for w in theirs.weights:
        if w.path.endswith("kernel"):
            continue
        middle = 1.0 if w.path.endswith(("gamma", "moving_variance")) else 0.0
        w.assign(middle + rng.uniform(-0.2, 0.2, w.shape))
    yield depth, build_resnet(depth, input_shape=shape), theirs
    keras.utils.clear_session()
    gc.collect()


def test_layers_are_those_of_keras_applications(pair):
    depth, ours, theirs = pair
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in theirs.layers[1:]]
    assert [layer.output.shape for layer in ours.layers] == [layer.output.shape for layer in theirs.layers]
    assert ours.count_params() == theirs.count_params() == published.figure(f"resnet{depth}/params").value


def test_weights_of_keras_applications_give_their_outputs(pair):
    _, ours, theirs = pair
    ours.set_weights(theirs.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 64, 96, 3)).astype("float32")
    for training in (False, True):
        want = theirs(x, training=training).numpy()
        assert np.ptp(want) > 0.1
        np.testing.assert_allclose(ours(x, training=training), want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
        ours.set_weights(theirs.get_weights())  # after a step in training the momentum of the statistics differs


def test_weights_go_back(pair):
    _, ours, theirs = pair
    theirs.set_weights(ours.get_weights())
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        assert a.path.split("/")[-2:] == b.path.split("/")[-2:]
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("depth", [18, 34, *BIG])
def test_counts_with_and_without_biases(depth):
    model = build_resnet(depth, use_bias=False)
    torchvision = published.figure(f"resnet{depth}/params-torchvision").value
    assert trained(model) == torchvision
    statistics = sum(int(np.prod(w.shape)) for w in model.non_trainable_weights)
    filters = sum(layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert statistics == 2 * filters  # a mean and a variance for every filter of the network
    biases = filters if depth >= 50 else 0
    stated = published.figure(f"resnet{depth}/params")
    assert stated.value == torchvision + statistics + biases
    assert f"{torchvision + biases:,} trained" in stated.what
    assert f"{statistics:,} moving" in stated.what
    assert f"({biases:,} of them biases" in stated.what or not biases


@pytest.mark.parametrize("depth", DEPTHS)
def test_layers_are_those_of_table_1(depth):
    """On a net of a 64th of the width, which costs little to build: 1 filter stands for 64."""
    model, macs = build_resnet(depth, width=1 / 64), 0
    stages = [[layer for layer in model.layers if layer.name.startswith(f"conv{i}_")] for i in (1, 2, 3, 4, 5)]
    assert tuple(layers[-1].output.shape[1] for layers in stages) == published.figure("resnet/sizes").value
    expansion = 4 if depth >= 50 else 1
    assert [layers[-1].output.shape[-1] for layers in stages] == [1] + [expansion * f for f in (1, 2, 4, 8)]
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sum("_0_" not in layer.name for layer in convolutions) + 1 == depth  # and the dense layer
    assert {layer.use_bias for layer in convolutions} == {depth >= 50}
    strided = [layer.name for layer in convolutions if layer.strides > (1, 1)]
    assert sorted(strided) == ["conv1_conv"] + [f"conv{i}_block1_{j}_conv" for i in (3, 4, 5) for j in (0, 1)]
    for layer in convolutions:
        channels = 3 if layer.name == "conv1_conv" else 64 * layer.input.shape[-1]
        macs += layer.output.shape[1] ** 2 * 64 * layer.filters * layer.kernel_size[0] ** 2 * channels
    macs += 512 * expansion * 1000
    assert macs == pytest.approx(published.figure(f"resnet{depth}/macs").value, rel=0.025)  # two digits are printed


def test_resnet_18_by_hand():
    """torchvision's ResNet-18 (BasicBlock, pad 1 everywhere) written with `tf.nn`; Keras has none to compare with."""
    model = build_resnet(18, input_shape=(45, 64, 3), width=0.125, num_classes=5)
    rng = np.random.default_rng(0)
    for w in model.weights:
        if not w.path.endswith("kernel"):
            w.assign((w.path.endswith(("gamma", "moving_variance"))) + rng.uniform(-0.3, 0.3, w.shape))
    w = {"/".join(v.path.split("/")[-2:]): v.numpy() for v in model.weights}

    def conv_bn(x, name, stride=1):
        kernel, pad = w[f"{name}_conv/kernel"], w[f"{name}_conv/kernel"].shape[0] // 2
        x = tf.nn.conv2d(x, kernel, stride, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
        parts = ("moving_mean", "moving_variance", "beta", "gamma")
        return tf.nn.batch_normalization(x, *(w[f"{name}_bn/{part}"] for part in parts), 1.001e-5)

    images = rng.normal(size=(2, 45, 64, 3)).astype("float32")
    x = tf.nn.relu(conv_bn(images, "conv1", 2))
    x = tf.nn.max_pool2d(x, 3, 2, [(0, 0), (1, 1), (1, 1), (0, 0)])
    for stage in (2, 3, 4, 5):
        for i in (1, 2):
            name, stride = f"conv{stage}_block{i}", 2 if stage > 2 and i == 1 else 1
            way = conv_bn(x, f"{name}_0", stride) if stride == 2 else x
            x = tf.nn.relu(way + conv_bn(tf.nn.relu(conv_bn(x, f"{name}_1", stride)), f"{name}_2"))
    want = tf.reduce_mean(x, (1, 2)) @ w["predictions/kernel"] + w["predictions/bias"]
    np.testing.assert_allclose(model(images), want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("depth, shortcut", [(18, None), (18, "identity"), (18, "projection"), (50, "identity")])
def test_gradients_arrive_everywhere_and_a_step_helps(depth, shortcut):
    keras.utils.set_random_seed(0)
    model = build_resnet(depth, shortcut=shortcut, input_shape=(64, 64, 3), width=0.0625, num_classes=4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 64, 64, 3)).astype("float32"), rng.integers(0, 4, 8)
    loss, optimizer = keras.losses.SparseCategoricalCrossentropy(from_logits=True), keras.optimizers.SGD(0.02)
    losses = []
    for _ in range(6):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_weights)
        losses.append(float(value))
        for w, gradient in zip(model.trainable_weights, gradients, strict=True):
            assert np.isfinite(gradient).all(), w.path
            # A bias of a convolution is taken out again by the batch norm behind it: its gradient is rounding.
            assert np.abs(gradient).max() > 0 or w.path.endswith("conv/bias"), w.path
        optimizer.apply(gradients, model.trainable_weights)
    assert losses[-1] < losses[0], losses


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
@pytest.mark.parametrize("depth", [18, 50])
def test_saved_and_loaded_gives_the_same(depth, tmp_path):
    model = build_resnet(depth, input_shape=(32, 48, 3), width=0.0625, num_classes=4)
    x = np.random.default_rng(0).normal(size=(4, 32, 48, 3)).astype("float32")
    model(x, training=True)  # moves the statistics
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.parametrize("depth", [34, 50])
def test_plain_and_option_a_have_no_parameters_for_shortcuts(depth):
    counts = {
        shortcut: trained(build_resnet(depth, shortcut=shortcut, width=1 / 16, num_classes=4, use_bias=False))
        for shortcut in ("projection", "identity", None)
    }
    assert counts["identity"] == counts[None]
    expansion, before, projections = (4, 4, 0) if depth == 50 else (1, 4, 0)
    for filters in (4, 8, 16, 32):
        if before != expansion * filters:
            projections += before * expansion * filters + 2 * expansion * filters
        before = expansion * filters
    assert counts["projection"] == counts[None] + projections
    names = [layer.name for layer in build_resnet(depth, shortcut=None, width=1 / 64).layers]
    assert not any("_add" in name or "_0_" in name or "_shortcut" in name for name in names)


@pytest.mark.parametrize("depth, size", [(18, (1, 1)), (18, (1, 2)), (18, (33, 7)), (50, (1, 1))])
def test_images_never_run_out(depth, size):
    model = build_resnet(depth, input_shape=(*size, 2), width=0.02, num_classes=3)
    assert model(np.ones((2, *size, 2), "float32")).shape == (2, 3)
    after = [shapes.output_size(n, 7, stride=2, padding=3) for n in size]
    assert model.get_layer("conv1_relu").output.shape[1:3] == tuple(after)
    for _ in range(4):
        after = [-(-n // 2) for n in after]
    assert model.get_layer("conv5_block1_out").output.shape[1:3] == tuple(after)


def test_odd_numbers_of_filters():
    model = build_resnet(50, input_shape=(32, 32, 3), width=0.05, num_classes=3, shortcut="identity")
    assert model.get_layer("conv2_block1_out").output.shape[-1] == 4 * 3
    assert model.get_layer("conv3_block1_out").output.shape[-1] == 4 * 6
    assert model.get_layer("conv4_block1_out").output.shape[-1] == 4 * 13
    assert model(np.ones((1, 32, 32, 3), "float32")).shape == (1, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 42}, r"`depth` must be one of 18, 34, 50, 101, 152 \(depth=42\). Use depth=18"),
        ({"depth": "50"}, "`depth` must be one of 18, 34, 50, 101, 152"),
        ({"depth": 18, "shortcut": "conv"}, "`shortcut` must be one of 'projection', 'identity', None"),
        ({"depth": 18, "input_shape": (224, None, 3)}, "`input_shape` must be an integer >= 1"),
        ({"depth": 18, "input_shape": (224, 224)}, r"\(height, width, channels\)"),
        ({"depth": 18, "num_classes": 2.0}, "`num_classes` must be an integer >= 1"),
        ({"depth": 18, "width": -1}, "`width` must be a number > 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^build_resnet: .*{message}"):
        build_resnet(**arguments)
