"""The network out of scratch layers against Keras: one step in float64, whole trainings, and what it refuses."""

import contextlib
import functools
import math
import signal

import numpy as np
import pytest

from course_cnn import datasets, scratch, training, zoo
from course_cnn.scratch import network

# isort: split
import keras
import tensorflow as tf

ADAM = functools.partial(scratch.adam, epsilon_hat=True)  # Keras's placement of epsilon


def both(name):
    """The same network twice, in float64 and with the same weights: ours, Keras's, and an input."""
    ours, theirs = {
        "convolutions": (
            [scratch.Conv2D(3, 3, padding="same"), scratch.ReLU(), scratch.MaxPool2D(), scratch.Conv2D(4, (2, 3)),
             scratch.Sigmoid(), scratch.AvgPool2D(2, stride=1), scratch.Flatten(), scratch.Dense(5)],
            ["Conv2D(3, 3, padding='same', activation='relu')", "MaxPooling2D()",
             "Conv2D(4, (2, 3), activation='sigmoid')", "AveragePooling2D(2, strides=1)", "Flatten()", "Dense(5)"],
        ),
        "batch norm": (
            [scratch.Conv2D(3, 3, stride=2), scratch.BatchNorm(), scratch.Tanh(), scratch.Flatten(), scratch.Dense(4),
             scratch.BatchNorm(momentum=0.8, epsilon=1e-2), scratch.Dropout(0.0), scratch.Dense(5)],
            ["Conv2D(3, 3, strides=2)", "BatchNormalization()", "Activation('tanh')", "Flatten()", "Dense(4)",
             "BatchNormalization(momentum=0.8, epsilon=1e-2)", "Dense(5)"],
        ),
        "dense": (
            [scratch.Flatten(), scratch.Dense(7), scratch.ReLU(), scratch.Dense(5)],
            ["Flatten()", "Dense(7, activation='relu')", "Dense(5)"],
        ),
    }[name]  # fmt: skip
    shape = (8, 9, 2)
    net = scratch.Sequential(ours, input_shape=shape, seed=3, dtype="float64")
    rng = np.random.default_rng(0)
    net.params = [array + 0.1 * rng.normal(size=array.shape) for array in net.params]  # biases that are not 0
    keras.backend.clear_session()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        layers = [eval(f"keras.layers.{layer}") for layer in theirs]
        model = keras.Sequential([keras.Input(shape, dtype="float64"), *layers])
    finally:
        keras.config.set_dtype_policy(policy)
    model.set_weights(net.get_weights())
    return net, model, rng.normal(size=(6, *shape)), rng.integers(0, 5, 6)


@pytest.mark.parametrize("name", ["convolutions", "batch norm", "dense"])
def test_one_step_is_kerass_step(name):
    net, model, x, y = both(name)
    np.testing.assert_allclose(net.forward(x), model(x, training=False), rtol=1e-10, atol=1e-12)
    optimizer = keras.optimizers.SGD(0.125)
    for _ in range(2):
        with tf.GradientTape() as tape:  # train_on_batch would take the loss in float32
            scores = model(x, training=True)
            want = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=scores))
        optimizer.apply(tape.gradient(want, model.trainable_variables), model.trainable_variables)
        loss, cache = scratch.softmax_cross_entropy_forward(net.forward(x, training=True), y)
        assert loss == pytest.approx(float(want), rel=1e-12)
        net.backward(scratch.softmax_cross_entropy_backward(1.0, cache))
        net.params, _ = scratch.sgd(net.params, net.grads, learning_rate=0.125)  # exact in float32, as Keras has it
        for mine, theirs in zip(net.get_weights(), model.get_weights(), strict=True):
            assert mine.dtype == np.float64
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)


def test_fit_takes_kerass_steps():
    """Three epochs of Adam with a schedule and a small last batch; the order of the images is as documented."""
    net, model, _, _ = both("convolutions")
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(22, 8, 9, 2)), rng.integers(0, 5, 22)
    decay = keras.optimizers.schedules.CosineDecay(1e-2, 9)
    model.compile(
        optimizer=keras.optimizers.Adam(decay), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    order = np.random.default_rng(4)
    for _ in range(3):
        epoch = order.permutation(22)
        for first in (0, 8, 16):
            batch = epoch[first : first + 8]
            model.train_on_batch(x[batch], y[batch])
    record = net.fit(
        x, y, epochs=3, batch_size=8, seed=4, optimizer=ADAM,
        learning_rate=lambda step: 0.5e-2 * (1 + math.cos(math.pi * step / 9)),
    )  # fmt: skip
    assert (record.epochs, record.steps, record.interrupted) == (3, 9, False)
    for mine, theirs in zip(net.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=2e-6)  # Keras has rate and betas in float32


@pytest.mark.parametrize("name", ["convolutions", "batch norm", "dense"])
def test_backward_against_central_differences(name):
    net, _, x, y = both(name)

    def loss(x):
        return scratch.softmax_cross_entropy_forward(net.forward(x, training=True), y)[0]

    _, cache = scratch.softmax_cross_entropy_forward(net.forward(x, training=True), y)
    dx = net.backward(scratch.softmax_cross_entropy_backward(1.0, cache))
    grads = net.grads  # the checks below run forward, not backward
    image = (slice(0, 1), slice(2, 5), slice(2, 5))
    part = x[image].copy()

    def by_part(part):
        moved = x.copy()
        moved[image] = part
        return loss(moved)

    assert scratch.check_gradient(by_part, part, dx[image])
    params = net.params
    for number, (array, grad) in enumerate(zip(params, grads, strict=True)):
        assert grad.shape == array.shape

        def by_param(values, number=number):
            net.params = [values if i == number else p for i, p in enumerate(params)]
            return loss(x)

        check = scratch.check_gradient(by_param, array, grad)
        assert check, (number, check)


def test_weights_like_keras():
    """Glorot-uniform: the documented limit, reached nearly and never passed; biases 0; BatchNorm 1, 0, 0, 1."""
    net = scratch.Sequential(
        [scratch.Conv2D(64, 5), scratch.BatchNorm(), scratch.Flatten(), scratch.Dense(300)], input_shape=(8, 8, 3)
    )
    kernel, bias, gamma, beta, mean, variance, dense, _ = net.get_weights()
    for array, limit in ((kernel, math.sqrt(6 / (25 * 3 + 25 * 64))), (dense, math.sqrt(6 / (1024 + 300)))):
        assert 0.99 * limit < abs(array).max() <= limit
        assert abs(array.mean()) < 0.02 * limit
        assert array.std() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert (gamma == 1).all()
    assert (variance == 1).all()
    assert not any(array.any() for array in (bias, beta, mean))
    assert {array.dtype for array in net.get_weights()} == {np.dtype("float32")}


def test_seeds():
    def make(seed):
        layers = [scratch.Dense(4), scratch.Dropout(0.5), scratch.Dense(3)]
        return scratch.Sequential(layers, input_shape=(5,), seed=seed)

    x = np.ones((4, 5), "float32")
    first, again, other = make(1), make(1), make(2)
    masked = [first.forward(x, training=True) for _ in range(3)]
    for want in masked:
        np.testing.assert_array_equal(again.forward(x, training=True), want)
    assert not np.array_equal(masked[0], masked[1])
    assert not np.array_equal(first.forward(x), other.forward(x))
    np.testing.assert_array_equal(first.forward(x), first.forward(x))  # no dropout at inference


def test_get_and_set_weights_copy():
    net = scratch.build_lenet5(num_classes=3)
    weights = net.get_weights()
    weights[0][:] = 7
    assert not (net.get_weights()[0] == 7).any()
    net.set_weights(weights)
    assert (net.params[0] == 7).all()
    weights[0][:] = 8
    assert (net.params[0] == 7).all()


@pytest.mark.parametrize("variant", ["1998", "20-50"])
def test_lenet5_is_the_zoos(variant):
    net, model = scratch.build_lenet5(variant), zoo.build_lenet5(variant)
    model.set_weights(net.get_weights())
    assert net.count_params() == model.count_params()
    x = np.random.default_rng(0).random((3, *net.input_shape), "float32")
    np.testing.assert_allclose(net.forward(x), model(x, training=False), rtol=1e-4, atol=1e-5)
    named = [layer.name for layer in net.layers if layer.name not in ("Tanh", "ReLU", "Flatten")]
    assert named == [layer.name for layer in model.layers if layer.name != "flatten"]
    assert scratch.build_lenet5(variant, input_shape=(32, 32, 3), num_classes=7).output_shape == (7,)


@functools.cache
def dots():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    return (np.eye(3)[y] + 0.2 * rng.normal(size=(90, 3))).astype("float32"), y


def small_net(**settings):
    return scratch.Sequential([scratch.Dense(6), scratch.ReLU(), scratch.Dense(3)], input_shape=(3,), **settings)


OWN = (lambda scores, targets: scratch.l2_forward(scores, targets), scratch.l2_backward)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "hinge", "l2", network.LOSSES["hinge"], OWN])
@pytest.mark.parametrize("optimizer", [scratch.sgd, scratch.adam, scratch.momentum])
def test_every_loss_and_optimiser_learns(loss, optimizer):
    x, y = dots()
    targets = np.eye(3, dtype="float32")[y] if loss in ("l2", OWN) else y
    net = small_net()
    rate = 0.02 if optimizer is scratch.adam else 0.1
    record = net.fit(x, targets, epochs=12, batch_size=10, learning_rate=rate, loss=loss, optimizer=optimizer)
    assert record.history["loss"][-1] < record.history["loss"][0]
    assert record.history["accuracy"][-1] > 0.95
    assert net.accuracy(x, y) > 0.95


def test_target_probabilities_are_labels():
    x, y = dots()
    nets = small_net(), small_net()
    nets[0].fit(x, y, epochs=2)
    nets[1].fit(x, np.eye(3, dtype="float32")[y], epochs=2)
    for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_the_record():
    x, y = dots()
    net = small_net()
    record = net.fit(x, y, epochs=3, batch_size=32, learning_rate=0.05, validation=(x[:30], y[:30]))
    assert list(record.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert {len(values) for values in record.history.values()} == {3}
    assert (record.epochs, record.steps, record.interrupted) == (3, 9, False)
    assert record.history["val_accuracy"][-1] == net.accuracy(x[:30], y[:30])
    assert repr(record) == f"FitRecord: 3 epochs, validation accuracy {record.history['val_accuracy'][-1]:.3f}"
    assert repr(small_net().fit(x, y, epochs=1)).startswith("FitRecord: 1 epoch, training accuracy 0.")
    assert net.predict(x[:0]).shape == (0,)


def test_means_over_an_epoch_count_images_not_batches():
    """With steps too small to matter the epoch's loss is the loss, also where the last batch is a small one."""
    x, y = dots()
    net = small_net()
    want, _ = scratch.softmax_cross_entropy_forward(net.forward(x), y)
    accuracy = net.accuracy(x, y)
    record = net.fit(x, y, epochs=1, batch_size=89, optimizer=scratch.sgd, learning_rate=1e-9)
    assert record.history["loss"] == [pytest.approx(want, rel=1e-5)]
    assert record.history["accuracy"] == [accuracy]


def test_training_runs_in_training_mode():
    """BatchNorm's moving statistics move, and judging by the validation data moves nothing."""
    x, y = dots()
    nets = [scratch.Sequential([scratch.BatchNorm(), scratch.Dense(3)], input_shape=(3,)) for _ in range(2)]
    for net, validation in zip(nets, (None, (x + 5, y)), strict=True):
        net.fit(x, y, epochs=2, batch_size=45, validation=validation)
    mean, variance = nets[0].layers[0].state
    np.testing.assert_allclose(mean, (1 - 0.99**4) * x.mean(axis=0), rtol=0.1)
    assert (variance < 1).all()
    for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_x_and_y_are_not_changed():
    x, y = dots()
    before = x.copy(), y.copy()
    small_net().fit(x, y, epochs=2, batch_size=7)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_progress(monkeypatch):
    shown = []

    @contextlib.contextmanager
    def progress(verbose=None):
        yield lambda share, text: shown.append((share, text))

    monkeypatch.setattr(network._progress, "progress", progress)
    times = iter(range(1, 1000))
    monkeypatch.setattr(network.time, "monotonic", lambda: next(times))
    x, y = dots()
    small_net().fit(x, y, epochs=2, batch_size=45)
    assert [share for share, _ in shown] == [0.25, 0.5, 0.75, 1]
    assert shown[-1][1].startswith("epoch 2/2  loss ")


@pytest.fixture
def ctrl_c():
    """A function that does what Ctrl-C does, also in a job whose shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_interrupted_training_keeps_what_was_learned(ctrl_c):
    """A real Ctrl-C in the middle of a training."""
    x, y = dots()
    net = small_net()
    before = net.get_weights()

    def schedule(step):
        if step == 40:
            ctrl_c()
        return 0.05

    record = net.fit(x, y, epochs=100, batch_size=10, learning_rate=schedule)
    assert record.interrupted
    assert (record.epochs, record.steps) == (4, 40)
    assert repr(record).startswith("FitRecord: 4 epochs, interrupted, training accuracy")
    assert not np.array_equal(before[0], net.get_weights()[0])
    assert net.accuracy(x, y) > 0.9

    def at_once(step):
        return 0.05 if step < 2 else ctrl_c()

    assert repr(small_net().fit(x, y, epochs=3, learning_rate=at_once)) == "FitRecord: 0 epochs, interrupted"


def test_gradients_that_overflow_name_the_layer_and_a_remedy_that_works():
    x, y = dots()
    images, net = 100 * x, small_net()
    with pytest.raises(
        ValueError, match=r"layer 'Dense' .*no longer finite \(step=\d+, epoch=\d, learning_rate=1e\+18"
    ):
        net.fit(images, y, epochs=50, batch_size=10, optimizer=scratch.sgd, learning_rate=1e18)
    assert all(np.isfinite(array).all() for array in net.get_weights())
    rate, net = 1e18, small_net()
    for _ in range(25):  # follow the remedy: a tenth of the learning rate, and standardised images
        rate /= 10
        with contextlib.suppress(ValueError):
            net = small_net()
            net.fit((x - x.mean()) / x.std(), y, epochs=10, batch_size=10, optimizer=scratch.sgd, learning_rate=rate)
    assert rate < 0.1 or net.accuracy((x - x.mean()) / x.std(), y) > 0.3


def test_outputs_that_overflow_name_the_first_layer_that_did():
    net = scratch.Sequential([scratch.Dense(3, name="below"), scratch.Dense(3, name="above")], input_shape=(3,))
    net.params = [1e20 * np.ones_like(w) for w in net.params]
    x = np.ones((4, 3), "float32")
    with pytest.raises(ValueError, match="what layer 'above' puts out is no longer finite"):
        net.fit(x, np.zeros(4, int), epochs=1)


def test_gradients_that_are_not_finite_name_the_layer():
    class Broken(network.Layer):
        def forward(self, x, training=False):
            return x

        def backward(self, dy):
            return dy * np.float32(np.nan)

    net = scratch.Sequential(
        [scratch.Dense(3, name="below"), Broken(), scratch.Dense(3, name="above")], input_shape=(3,)
    )
    before = net.get_weights()
    with pytest.raises(
        ValueError, match=r"gradients of layer 'below' are no longer finite .*learning_rate=0.0001 or less"
    ):
        net.fit(*dots(), epochs=1)
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


X, Y = np.zeros((6, 3), "float32"), np.zeros(6, int)


@pytest.mark.parametrize(
    "x, y, settings, message",
    [
        (X[:, :2], Y, {}, r"Build the network with input_shape=\(2,\)"),
        (X[0], Y, {}, r"Add the batch axis: x\[None\]"),
        (X.tolist(), Y, {}, r"Pass np\.asarray\(x\)"),
        (X.astype("float64"), Y, {}, r"x\.astype\('float32'\)"),
        (X[:0], Y[:0], {}, "at least one image"),
        (X * np.nan, Y, {}, "`x` must hold finite numbers"),
        (X, Y[:5], {}, "one label for each of the 6 rows"),
        (X, Y + 3, {}, "at least 0 and below 3"),
        (X, Y - 1, {}, "at least 0 and below 3"),
        (X, Y * 0.5, {}, "`y` must hold whole numbers"),
        (X, np.ones((6, 3), "float32"), {}, "each row must sum to 1"),
        (X, Y, {"loss": "l2"}, "`targets` must have the shape of `scores`"),
        (X, Y, {"loss": "mse"}, "`loss` must be one of 'softmax_cross_entropy'"),
        (X, Y, {"loss": (1, 2)}, "`loss` must be one of 'softmax_cross_entropy'"),
        (X, Y, {"epochs": 0}, "`epochs` must be an integer >= 1"),
        (X, Y, {"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        (X, Y, {"seed": -1}, "`seed` must be an integer >= 0"),
        (X, Y, {"learning_rate": 0}, "`learning_rate` must be a number > 0"),
        (X, Y, {"learning_rate": lambda step: -1.0}, "`learning_rate` must be a number > 0"),
        (X, Y, {"validation": X}, r"Use validation=\(x_test, y_test\)"),
        (X, Y, {"validation": (X, Y + 7)}, r"`validation\[1\]` must count classes"),
        (X, Y, {"validation": (X[:, :1], Y)}, r"`validation\[0\]` must be a batch"),
    ],
)
def test_bad_data_is_refused_before_training(x, y, settings, message):
    net = small_net()
    before = net.get_weights()
    with pytest.raises(ValueError, match=message):
        net.fit(x, y, **{"epochs": 1, **settings})
    np.testing.assert_array_equal(net.get_weights()[0], before[0])


def test_a_schedule_that_ends_at_zero():
    with pytest.raises(ValueError, match=r"`learning_rate\(3\)` must be a number > 0"):
        small_net().fit(*dots(), epochs=9, learning_rate=lambda step: 0.3 - 0.1 * step)


@pytest.mark.parametrize(
    "layers, input_shape, message",
    [
        (lambda: [scratch.Dense(3)], (4, 4, 1), r"Put Flatten\(\) before it"),
        (lambda: [scratch.Conv2D(3, 3)], (9,), r"layer 'Conv2D' takes images \(h, w, c\)"),
        (lambda: [scratch.MaxPool2D(name="S2")], (9,), "layer 'S2' takes images"),
        (lambda: [scratch.Conv2D(3, 5)], (4, 4, 1), "Conv2D: the kernel spans 5 pixels"),
        (lambda: [scratch.AvgPool2D(5)], (4, 4, 1), "AvgPool2D: .*5"),
        (lambda: [keras.layers.Dense(3)], (4,), "must be a layer"),
        (lambda: [scratch.Dense], (4,), "must be a layer"),
        (lambda: [scratch.ReLU()] * 2, (4,), "a new one for each place"),
        (lambda: [], 4, "the shape of one image"),
        (lambda: [], (), "the shape of one image"),
        (lambda: [], (4, 0), "the shape of one image"),
    ],
)
def test_networks_that_do_not_fit(layers, input_shape, message):
    with pytest.raises(ValueError, match=message):
        scratch.Sequential(layers(), input_shape=input_shape)


def test_layers_of_a_failed_network_can_be_used_again():
    layers = [scratch.Conv2D(3, 3), scratch.Dense(2)]
    with pytest.raises(ValueError, match=r"Put Flatten\(\) before it"):
        scratch.Sequential(layers, input_shape=(4, 4, 1))
    assert scratch.Sequential([layers[0], scratch.Flatten(), layers[1]], input_shape=(4, 4, 1)).output_shape == (2,)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: scratch.Dense(0), "`units` must be an integer >= 1"),
        (lambda: scratch.Conv2D(0, 3), "`filters` must be an integer >= 1"),
        (lambda: scratch.Conv2D(3, 0), "kernel_size"),
        (lambda: scratch.Dropout(1.0), "`rate` must be a number from 0 to below 1"),
        (lambda: small_net(dtype="float16"), "`dtype` must be one of 'float32', 'float64'"),
        (lambda: small_net(seed=-1), "`seed` must be an integer >= 0"),
        (lambda: scratch.build_lenet5("1999"), "`variant` must be one of '1998', '20-50'"),
        (lambda: scratch.build_lenet5(num_classes=0), "`num_classes`"),
        (lambda: scratch.build_lenet5(input_shape=(8, 8, 1)), "spans 5 pixels"),
    ],
)
def test_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shapes_that_disagree():
    net = small_net()
    with pytest.raises(ValueError, match="one array for each of the network's"):
        net.set_weights(net.get_weights()[:-1])
    with pytest.raises(ValueError, match="one array for each of the network's"):
        net.params = [array.T for array in net.params]
    with pytest.raises(ValueError, match=r"Add the channel axis: x\[\.\.\., None\]"):
        scratch.build_lenet5().predict(np.zeros((2, 32, 32), "float32"))
    images = scratch.Sequential([scratch.Conv2D(2, 3)], input_shape=(5, 5, 1))
    assert images.forward(np.zeros((1, 5, 5, 1), "float32")).shape == (1, 3, 3, 2)
    for call in (lambda x: images.predict(x), lambda x: images.fit(x, Y[:2], epochs=1)):
        with pytest.raises(ValueError, match=r"End it with Flatten\(\) and Dense\(number of classes\)"):
            call(np.zeros((2, 5, 5, 1), "float32"))
    with pytest.raises(ValueError, match="one label for each"):
        net.accuracy(X, Y[:2])


def test_a_layer_of_ones_own_needs_both_directions():
    class Half(network.Layer):
        def forward(self, x, training=False):
            return x / 2

    with pytest.raises(TypeError, match="backward"):
        Half()

    class Halve(Half):
        def backward(self, dy):
            return dy / 2

    net = scratch.Sequential([Halve(), scratch.Dense(2)], input_shape=(3,), dtype="float64")
    x = np.ones((4, 3))
    np.testing.assert_allclose(net.forward(x), x / 2 @ net.params[0])
    np.testing.assert_allclose(net.backward(np.ones((4, 2))), np.ones((4, 2)) @ net.params[0].T / 2)


def test_summary():
    net = scratch.build_lenet5()
    lines = repr(net).splitlines()
    assert lines[0] == "Sequential: input (32, 32, 1)"
    assert "C3" in lines[4]
    assert "(10, 10, 16)" in lines[4]
    assert lines[4].endswith("2,416 parameters")
    assert lines[-1].split() == ["in", "all", "61,706", "parameters"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert repr(net.layers[0]) == "C1 (32, 32, 1) -> (28, 28, 6), 156 parameters"


def test_a_small_lenet_learns_digits():
    digits = datasets.load("digits", size=32)
    x = (digits.x_train[:320] - digits.x_train.mean()) / digits.x_train.std()
    net = scratch.build_lenet5()
    assert net.fit(x, digits.y_train[:320], epochs=3, learning_rate=3e-3).history["accuracy"][-1] > 0.8


@pytest.mark.slow
def test_lenet5_reaches_97_percent_and_what_keras_reaches():
    """Lecture 13's recipe with NumPy and with Keras: same starting weights, batches, optimiser and schedule.

    97 % of 450 digits allow 13 mistakes on average; 0.5 points are 2 of them. On the machine where this was written the
    five seeds made 10, 13, 10, 11 and 12, alike in both; one that rounds otherwise may move a seed by one or two.
    """
    digits, epochs, mistakes = datasets.load("digits", size=32), 12, []
    mean, std = digits.x_train.mean(), digits.x_train.std()
    x, x_test = (digits.x_train - mean) / std, (digits.x_test - mean) / std
    steps = epochs * -(-len(x) // 32)
    for seed in range(5):
        net, model = scratch.build_lenet5(seed=seed), zoo.build_lenet5()
        model.set_weights(net.get_weights())
        record = net.fit(
            x, digits.y_train, epochs=epochs, batch_size=32, seed=seed, optimizer=ADAM,
            learning_rate=lambda step: 1.5e-3 * (1 + math.cos(math.pi * step / steps)),
        )  # fmt: skip
        assert record.seconds < 120

        decay = keras.optimizers.schedules.CosineDecay(3e-3, steps)
        model.compile(
            optimizer=keras.optimizers.Adam(decay), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        order = np.random.default_rng(seed)
        for _ in range(epochs):
            epoch = order.permutation(len(x))
            for first in range(0, len(x), 32):
                batch = epoch[first : first + 32]
                model.train_on_batch(x[batch], digits.y_train[batch])
        ours = (net.predict(x_test) != digits.y_test).sum()
        mistakes.append((int(ours), len(training.evaluate(model, x_test, digits.y_test).wrong)))
    print("mistakes of 450, (ours, Keras's) for each seed:", *mistakes)  # shown by pytest -s; lecture 04 quotes it
    ours, theirs = np.mean(mistakes, axis=0)
    assert ours <= 13, mistakes
    assert abs(ours - theirs) <= 2, mistakes
