"""Training records: repeatable, interruptible, and clear about wrong input before any training starts."""

import json
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from course_cnn import augment, training
from course_cnn._tensorflow import tf

# isort: split
import keras


@pytest.fixture
def dots():
    """Two Gaussian clouds in the plane, wide apart; and the same first weights whichever tests run."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 260)
    x = (rng.normal(size=(260, 2)) + 4 * y[:, None]).astype("float32")
    return SimpleNamespace(x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])


def line(units=2, **settings):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, **settings)])


def test_seed_everything_repeats_python_numpy_and_tensorflow():
    drawn = []
    for seed in (7, 7, 8):
        assert training.seed_everything(seed) is None
        drawn.append(
            (
                random.random(),
                np.random.rand(),  # noqa: NPY002
                float(tf.random.uniform(())),
                line().get_weights()[0].tolist(),
            )
        )
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[1], drawn[2], strict=True))
    from tensorflow.python.framework import config  # the getter is not public

    assert config.is_op_determinism_enabled()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, None])
def test_seed_everything_refuses(seed):
    with pytest.raises(ValueError, match="seed_everything: `seed` must be"):
        training.seed_everything(seed)


def test_fit_repeats_and_learns(dots):
    records = []
    for _ in range(2):
        training.seed_everything(3)
        records.append(training.fit(line(), dots, epochs=3, learning_rate=0.25, seed=3))
    first, second = records
    assert first == second  # every number but the seconds
    assert first.final["val_accuracy"] > 0.95  # the clouds are 5.7 standard deviations apart: 0.998 is possible
    assert (first.epochs, first.seed, first.batch_size, first.learning_rate, first.params) == (3, 3, 16, 0.25, 6)
    assert set(first.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 3 for values in first.history.values())
    assert first.seconds > 0
    assert not first.interrupted
    assert (first.schedule, first.stopped_early, first.kept_epoch) == (None, False, None)


def test_fit_takes_the_steps_of_plain_gradient_descent(dots):
    """One epoch of SGD with one batch is one step by hand: softmax minus one-hot, times the images."""
    model = line()
    kernel, bias = model.get_weights()
    x, hot = dots.x_train.astype("float64"), np.eye(2)[dots.y_train]
    slope = (special.softmax(x @ kernel + bias, axis=1) - hot) / len(x)
    training.fit(model, dots, epochs=1, batch_size=200, learning_rate=0.5, optimizer="sgd")
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * x.T @ slope, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.5 * slope.sum(axis=0), rtol=1e-5, atol=1e-6)


def test_every_image_is_seen_once_per_epoch_in_a_new_order():
    x, y = np.arange(10.0)[:, None], np.arange(10)
    batches = training._batches(x, y, 4, shuffle=True)
    epochs = [[labels.numpy() for _, labels in batches] for _ in range(2)]
    assert [len(labels) for labels in epochs[0]] == [4, 4, 2]
    orders = [np.concatenate(epoch) for epoch in epochs]
    assert all(sorted(order) == y.tolist() for order in orders)
    assert orders[0].tolist() != orders[1].tolist()
    for images, labels in training._batches(x, y, 4):
        np.testing.assert_array_equal(images[:, 0], labels)


def test_the_seed_decides_the_order_of_the_images(dots):
    losses = {training.fit(line(kernel_initializer="zeros"), dots, epochs=1, seed=n).final["loss"] for n in (0, 1)}
    assert len(losses) == 2  # the first weights are the same, only the order differs


def test_val_history_is_of_the_test_split(dots):
    model = line()
    record = training.fit(model, dots, epochs=2)
    judged = training.evaluate(model, dots.x_test, dots.y_test)
    assert record.final["val_accuracy"] == pytest.approx(judged.accuracy, abs=1e-6)
    assert record.final["val_loss"] == pytest.approx(judged.loss, abs=1e-5)


def test_validation_fraction_holds_back_training_images(dots):
    (x, _), (held_x, held_y) = training._splits(line(), dots, 0.25, 0)
    assert (len(x), len(held_x)) == (150, 50)
    together = np.concatenate([x, held_x])
    assert sorted(map(tuple, together)) == sorted(map(tuple, dots.x_train))
    pairs = {tuple(point): label for point, label in zip(dots.x_train, dots.y_train, strict=True)}
    assert all(pairs[tuple(point)] == label for point, label in zip(held_x, held_y, strict=True))
    del dots.x_test, dots.y_test
    assert "validation accuracy" in repr(training.fit(line(), dots, epochs=1, validation=0.25, seed=0))


def test_optimizer_by_name_and_as_object(dots):
    momentum = keras.optimizers.SGD(0.25, momentum=0.9)
    record = training.fit(model := line(), dots, epochs=1, optimizer=momentum, learning_rate=0.001)
    assert model.optimizer is momentum
    assert record.learning_rate == 0.25
    named = training._optimizer("fit", "rmsprop", 0.125)
    assert isinstance(named, keras.optimizers.RMSprop)
    assert float(named.learning_rate) == 0.125
    assert isinstance(training._optimizer("fit", None, 1e-3), keras.optimizers.Adam)


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("verbose", [False, True])
def test_interruption_keeps_what_was_learned(dots, verbose, capsys):
    model = line()
    before = model.get_weights()[0]
    record = training.fit(model, dots, epochs=9, callbacks=[Interrupt(2)], verbose=verbose)
    assert (record.interrupted, record.epochs, len(record.history["loss"])) == (True, 2, 2)
    assert repr(record).startswith("Record: 2 epochs, interrupted, test accuracy 0.")
    assert np.abs(model.get_weights()[0] - before).max() > 0
    record = training.fit(line(), dots, callbacks=[Interrupt(0)])
    assert (record.interrupted, record.final, repr(record)) == (True, {}, "Record: 0 epochs, interrupted")


def test_early_stopping_counts_the_finished_epochs(dots):
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=9, patience=1)
    assert training.fit(line(), dots, epochs=9, callbacks=[stop]).epochs == 2


def test_record_saves_all_or_nothing(dots, tmp_path):
    record = training.fit(line(), dots, epochs=2, seed=1)
    record.save(tmp_path / "record.json")
    saved = json.loads((tmp_path / "record.json").read_text())
    assert saved["history"] == record.history
    assert saved["seconds"] == record.seconds
    assert training.Record(**saved) == record
    broken = training.Record(**{**saved, "seed": object()})
    with pytest.raises(TypeError):
        broken.save(tmp_path / "record.json")
    assert json.loads((tmp_path / "record.json").read_text()) == saved
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_record_of_a_diverged_run_is_valid_json():
    record = training.Record({"loss": [1.0, float("nan"), float("inf")]}, 3, 0.1, 0, 16, 1e9, 6, None)
    assert json.loads(record.to_json())["history"]["loss"] == [1.0, None, None]


def test_repr_has_no_seconds():
    settings = dict(seed=0, batch_size=16, learning_rate=0.1, params=6, validation="test")
    first = training.Record({"accuracy": [0.5], "val_accuracy": [0.9784]}, epochs=1, seconds=4.1, **settings)
    second = training.Record({"accuracy": [0.5], "val_accuracy": [0.9784]}, epochs=1, seconds=9.9, **settings)
    assert repr(first) == repr(second) == "Record: 1 epoch, test accuracy 0.978"


def test_evaluate_by_hand(dots):
    model = line()
    model.set_weights([np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([0.5, -3.0])])
    judged = training.evaluate(model, dots.x_test, dots.y_test, batch_size=7)
    logits = dots.x_test.astype("float64") @ [[1.0, 2.0], [-1.0, 0.5]] + [0.5, -3.0]
    chance = special.softmax(logits, axis=1)
    np.testing.assert_array_equal(judged.predicted, logits.argmax(axis=1))
    np.testing.assert_allclose(judged.confidence, chance.max(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(judged.wrong, np.flatnonzero(logits.argmax(axis=1) != dots.y_test))
    assert judged.accuracy == 1 - len(judged.wrong) / 60
    assert 0 < len(judged.wrong) < 60
    assert judged.loss == pytest.approx(-np.log(chance[np.arange(60), dots.y_test]).mean(), rel=1e-5)
    assert repr(judged).endswith(f"{len(judged.wrong)} wrong of 60")


def test_evaluate_survives_huge_logits():
    model = line(kernel_initializer=keras.initializers.Constant([[5e4, 0.0], [0.0, 5e4]]))
    judged = training.evaluate(model, np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    assert judged.loss == pytest.approx(25_000)
    np.testing.assert_array_equal(judged.confidence, [1, 1])


WRONG = {
    "one-hot": (lambda d: setattr(d, "y_train", np.eye(2)[d.y_train]), r"int \(n,\).*y_train.argmax\(axis=1\)"),
    "float labels": (lambda d: setattr(d, "y_train", d.y_train / 1), r"int \(n,\).*y_train.astype\(int\)"),
    "lengths": (lambda d: setattr(d, "y_train", d.y_train[:9]), "one entry per image"),
    "empty": (lambda d: (setattr(d, "x_test", d.x_test[:0]), setattr(d, "y_test", d.y_test[:0])), "at least one"),
    "uint8": (lambda d: setattr(d, "x_train", d.x_train.astype("uint8")), "`x_train` must hold floating-point"),
    "shape": (
        lambda d: setattr(d, "x_test", d.x_test[:, :1]),
        r"x_test.shape=\(60, 1\), model.input_shape=\(None, 2\)",
    ),
    "labels too large": (
        lambda d: setattr(d, "y_train", d.y_train + 1),
        "from 0 to 1, the model has 2 logits.*num_classes=3",
    ),
    "labels negative": (lambda d: setattr(d, "y_test", d.y_test - 1), r"y_test - y_test.min\(\)"),
    "no test split": (lambda d: delattr(d, "x_test"), "it lacks x_test.*validation=None"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_data_is_refused_before_training(dots, fault):
    spoil, message = WRONG[fault]
    spoil(dots)
    model = line()
    with pytest.raises(ValueError, match=f"fit: .*{message}"):
        training.fit(model, dots)
    assert not model.compiled


def test_remedies_work(dots):
    dots.y_train, dots.y_test = dots.y_train + 1, dots.y_test + 1
    training._splits(line(3), dots, "test", 0)  # num_classes=3
    grey = SimpleNamespace(x_train=np.zeros((4, 5, 5)), y_train=np.array([0, 1, 0, 1]))
    model = keras.Sequential([keras.Input((5, 5, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"Add the channel axis: x_train\[..., None\]"):
        training.fit(model, grey, validation=None)
    grey.x_train = grey.x_train[..., None]
    record = training.fit(model, grey, epochs=1, validation=None)
    assert set(record.history) == {"loss", "accuracy"}
    assert "training accuracy" in repr(record)


@pytest.mark.parametrize(
    "model, message",
    [
        (line(activation="softmax"), "must end in logits"),
        (keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Softmax()]), "must end in logits"),
        (keras.Sequential([keras.Input((2,)), keras.layers.Reshape((2, 1))]), r"one row of logits .*output=.*1, 2, 1"),
    ],
)
def test_wrong_models_are_refused(dots, model, message):
    with pytest.raises(ValueError, match=f"fit: .*{message}"):
        training.fit(model, dots)
    with pytest.raises(ValueError, match=f"evaluate: .*{message}"):
        training.evaluate(model, dots.x_test, dots.y_test)


def test_models_without_input_shape_are_built_by_the_data(dots):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    for model in (Mine(), sequential := keras.Sequential([keras.layers.Dense(2)])):
        assert training.fit(model, dots, epochs=1).params == 6
    assert sequential.input_shape == (None, 2)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": 0}, "`epochs` must be an integer >= 1"),
        ({"batch_size": 2.5}, "`batch_size` must be an integer >= 1"),
        ({"learning_rate": 0}, "`learning_rate` must be a number > 0"),
        ({"learning_rate": "fast"}, "`learning_rate` must be a number > 0"),
        ({"optimizer": "addam"}, "`optimizer` must be None, a name"),
        ({"optimizer": 3}, "`optimizer` must be None, a name"),
        ({"validation": 0.001}, "leaves images on both sides"),
        ({"validation": 1.5}, "leaves images on both sides"),
        ({"validation": "train"}, "leaves images on both sides"),
        ({"seed": -1}, "`seed` must be"),
        ({"learning_rate": ("cosine", 0)}, "`learning_rate` must be a number > 0"),
        ({"learning_rate": ("linear", 0.1)}, "`kind` must be one of 'constant', 'step', 'exponential', 'cosine'"),
        ({"learning_rate": ("cosine",)}, "`learning_rate` must be a number > 0"),
        ({"patience": 0, "validation": 0.2}, "`patience` must be an integer >= 1"),
        ({"patience": 2}, "held back to judge by; the test images must not .*validation='test'.*validation=0.1"),
        ({"patience": 2, "validation": None}, "held back to judge by"),
        ({"augment": lambda x: x}, r"`augment` must be None or a Keras layer .*augment.build"),
        ({"augment": keras.layers.Dense(3)}, r"`augment` must keep the size .*before=\(2,\), after=\(3,\)"),
    ],
)
def test_wrong_settings_are_refused(dots, settings, message):
    with pytest.raises(ValueError, match=f"(fit|schedule): .*{message}"):
        training.fit(line(), dots, **settings)


# Schedules

KINDS = ["constant", "step", "exponential", "cosine"]


@pytest.mark.parametrize(
    "kind, share",
    [
        ("constant", lambda p: np.ones_like(p)),
        ("step", lambda p: np.where(p < 0.5, 1, np.where(p < 0.75, 0.2, 0.04))),
        ("exponential", lambda p: 0.04**p),
        ("cosine", lambda p: 0.04 + 0.96 * (1 + np.cos(np.pi * np.minimum(p, 1))) / 2),
    ],
)
def test_schedules_by_their_formulas(kind, share):
    made = training.schedule(kind, 0.5, 40, end=0.04)
    progress = np.arange(50) / 40  # and a little beyond the end
    np.testing.assert_allclose(training.schedule_values(made, 50), 0.5 * share(progress), rtol=1e-5)
    warm = training.schedule_values(training.schedule(kind, 0.5, 44, end=0.04, warmup=4), 54)
    np.testing.assert_allclose(warm, np.append([0.1, 0.2, 0.3, 0.4], 0.5 * share(progress)), rtol=1e-5)


def test_warm_up_is_the_one_keras_has_for_cosine():
    ours = training.schedule("cosine", 0.5, 44, warmup=4, end=0)
    theirs = keras.optimizers.schedules.CosineDecay(0.1, 40, warmup_target=0.5, warmup_steps=4)
    np.testing.assert_allclose(*(training.schedule_values(one, 50) for one in (ours, theirs)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [4, 1000])
def test_schedules_save_and_load(kind, warmup, steps):
    made = training.schedule(kind, 0.1, steps, warmup=warmup)
    written = json.loads(json.dumps(keras.optimizers.schedules.serialize(made)))
    read = keras.optimizers.schedules.deserialize(written)
    np.testing.assert_array_equal(*(training.schedule_values(one, 8) for one in (made, read)))
    assert 0 < training.schedule_values(made, 8).min() <= training.schedule_values(made, 8).max() <= np.float32(0.1)


@pytest.mark.parametrize(
    "args, settings, message",
    [
        (("linear", 0.1, 10), {}, "schedule: `kind` must be one of 'constant', 'step', 'exponential', 'cosine'"),
        (("step", -0.1, 10), {}, "schedule: `learning_rate` must be a number > 0"),
        (("step", 0.1, 0), {}, "schedule: `steps` must be an integer >= 1"),
        (("cosine", 0.1, 10), {"warmup": -1}, "schedule: `warmup` must be an integer >= 0"),
        (("cosine", 0.1, 10), {"warmup": 10}, "`warmup` must be below `steps`.*warmup=10, steps=10.*warmup=1"),
        (("cosine", 0.1, 10), {"end": 1.0}, "schedule: `end` must be a number from 0 to below 1"),
        (("exponential", 0.1, 10), {"end": 0}, "schedule: `end` must be above 0 for .*end=0.01"),
    ],
)
def test_wrong_schedules_are_refused(args, settings, message):
    with pytest.raises(ValueError, match=message):
        training.schedule(*args, **settings)


def test_schedule_values_refuses():
    with pytest.raises(ValueError, match=r"schedule_values: `schedule` must be .*training.schedule\("):
        training.schedule_values(0.1, 10)
    with pytest.raises(ValueError, match="schedule_values: `steps` must be"):
        training.schedule_values(training.schedule("constant", 0.1, 10), 0)


def test_fit_follows_a_schedule(dots):
    """Two epochs of 13 steps; the rates the optimiser had, against the formula."""
    used = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: used.append(float(model.optimizer.learning_rate))
    )
    model = line()
    record = training.fit(model, dots, epochs=2, learning_rate=("cosine", 0.5), callbacks=[watch])
    want = training.schedule_values(training.schedule("cosine", 0.5, 26), 26)
    np.testing.assert_allclose(used, want, rtol=1e-5)
    assert record.learning_rate == 0.5
    assert record.schedule["class_name"] == "CosineDecay"
    assert training.Record(**json.loads(record.to_json())) == record
    own = training.schedule("step", 0.5, 26, warmup=4)
    named = training.fit(line(), dots, epochs=1, learning_rate=own, optimizer="sgd")
    assert named.learning_rate == pytest.approx(0.1)
    assert named.schedule["config"]["warmup"] == 4


# Early stopping


class Losses(keras.callbacks.Callback):
    """Replaces what is measured on the held-back images, so that a test decides which epoch is best."""

    def __init__(self, losses):
        super().__init__()
        self.losses, self.weights = losses, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights()[0])


@pytest.fixture
def scripted(monkeypatch):
    """Make `val_loss` what a list says, as seen by early stopping and the record."""

    def script(losses):
        callback, evaluate = Losses(losses), keras.Model.evaluate

        def told(model, *args, **settings):
            logs = evaluate(model, *args, **settings)
            return {**logs, "loss": losses[len(callback.weights)]}

        monkeypatch.setattr(keras.Model, "evaluate", told)
        return callback

    return script


def test_early_stopping_goes_back_to_the_best_epoch(dots, scripted):
    watch, model = scripted([5, 3, 4, 2, 6, 7, 3, 1]), line()
    record = training.fit(model, dots, epochs=8, validation=0.2, patience=3, callbacks=[watch])
    assert record.history["val_loss"] == [5, 3, 4, 2, 6, 7, 3]
    assert (record.epochs, record.stopped_early, record.kept_epoch) == (7, True, 4)
    np.testing.assert_array_equal(model.get_weights()[0], watch.weights[3])
    assert record.final["val_loss"] == 2
    assert record.final["accuracy"] == record.history["accuracy"][3]
    assert repr(record).startswith("Record: 7 epochs, stopped early, epoch 4 kept, validation accuracy 0.")
    assert training.Record(**json.loads(record.to_json())) == record


def test_patience_that_does_not_run_out_still_keeps_the_best_epoch(dots, scripted):
    watch, model = scripted([5, 3, 4]), line()
    record = training.fit(model, dots, epochs=3, validation=0.2, patience=3, callbacks=[watch])
    assert (record.epochs, record.stopped_early, record.kept_epoch) == (3, False, 2)
    np.testing.assert_array_equal(model.get_weights()[0], watch.weights[1])
    assert repr(record).startswith("Record: 3 epochs, epoch 2 kept, ")


def test_interruption_goes_back_to_the_best_epoch(dots, scripted):
    watch, model = scripted([5, 3, 4, 4]), line()
    record = training.fit(model, dots, epochs=9, validation=0.2, patience=8, callbacks=[watch, Interrupt(4)])
    assert (record.interrupted, record.stopped_early, record.kept_epoch) == (True, False, 2)
    np.testing.assert_array_equal(model.get_weights()[0], watch.weights[1])
    record = training.fit(line(), dots, validation=0.2, patience=2, callbacks=[Interrupt(0)])
    assert (record.final, record.kept_epoch, repr(record)) == ({}, None, "Record: 0 epochs, interrupted")


# Augmentation


class Noise(keras.layers.Layer):
    """Adds noise to training images."""

    def __init__(self, size=1.0):
        super().__init__()
        self.size, self.generator = size, keras.random.SeedGenerator(5)

    def call(self, images, training=False):
        noise = keras.random.normal(keras.ops.shape(images), stddev=self.size, seed=self.generator)
        return images + noise if training else images


def test_augmentation_changes_every_batch_anew_and_repeats_by_the_seed(dots):
    x, y = dots.x_train, dots.y_train

    def epochs(seed):
        training.seed_everything(7)
        noise = training._augment(Noise(), x)
        batches = training._batches(x, y, 200, shuffle=True, augment=noise, seed=seed)
        return [[array.numpy() for array in batch] for _ in range(2) for batch in batches]

    (first, labels), _ = epochs(1)
    points = {label: np.sort(first[labels == label] - x[y == label].mean(axis=0), axis=0) for label in (0, 1)}
    for label in (0, 1):  # labels stay with their images: each cloud keeps its place, and grows wider
        assert np.abs(points[label].mean(axis=0)).max() < 0.5
        assert points[label].std() > 1.2
    for one, other in zip(epochs(1), epochs(1), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert np.abs(epochs(2)[0][0] - first).max() > 0.01
    np.testing.assert_array_equal(epochs(None)[0][0], epochs(None)[0][0])  # by the seed of seed_everything


def test_augmentation_differs_from_epoch_to_epoch_and_from_batch_to_batch():
    black = np.zeros((8, 2), "float32")  # what comes out is the noise alone
    batches = training._batches(black, np.zeros(8, int), 4, shuffle=True, augment=Noise(), seed=0)
    noises = [images.numpy() for _ in range(2) for images, _ in batches]
    assert all(np.abs(noises[a] - noises[b]).max() > 0.1 for a in range(4) for b in range(a))


def test_fit_augments_training_images_only(dots):
    far = keras.Sequential([Noise(200.0)])
    records = []
    for _ in range(2):
        training.seed_everything(0)
        records.append(training.fit(line(), dots, epochs=2, learning_rate=1e-6, augment=far, seed=0))
    training.seed_everything(0)
    plain = training.fit(line(), dots, epochs=2, learning_rate=1e-6, seed=0)
    assert records[0] == records[1]
    assert records[0].history["loss"][0] > 100 > plain.history["loss"][0]
    assert records[0].final["val_loss"] == pytest.approx(plain.final["val_loss"], rel=1e-3)


def test_images_that_the_augmentation_does_not_take_are_refused_before_training():
    rng = np.random.default_rng(0)
    images = rng.random((20, 6, 6, 1)).astype("float32")
    data = SimpleNamespace(x_train=images, y_train=rng.integers(0, 2, 20))
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    record = training.fit(model, data, epochs=1, validation=None, augment=augment.build(shift=0.2, mirror=True))
    assert np.isfinite(record.final["loss"])
    images[11, 3, 3] = -0.5  # one of many
    with pytest.raises(ValueError, match=r"must hold values in \[0, 1\]"):
        training.fit(model, data, epochs=1, validation=None, augment=augment.build(shift=0.2))


# The learning-rate finder


def search(model, dots, **settings):
    return training.find_learning_rate(model, dots, **{"steps": 40, "high": 100.0, "seed": 1, **settings})


def test_the_search_tries_rates_in_equal_ratios_and_stops_where_it_diverges(dots):
    training.seed_everything(0)
    found = search(line(), dots, optimizer="sgd", low=1e-4, high=1e3, steps=100)
    rates = found.learning_rates
    assert rates[0] == pytest.approx(1e-4)
    np.testing.assert_allclose(rates[1:] / rates[:-1], 1e7 ** (1 / 99))
    assert found.diverged
    assert len(rates) == len(found.losses) == len(found.smoothed) < 100
    assert not found.smoothed[-1] <= 4 * found.smoothed.min()
    assert found.smoothed[0] == pytest.approx(found.losses[0])
    assert found.smoothed[1] == pytest.approx((0.9 * found.losses[0] + found.losses[1]) / 1.9)
    assert found.suggestion == pytest.approx(rates[np.nanargmin(found.smoothed)] / 10)
    assert repr(found) == f"LearningRateSearch: suggestion {found.suggestion:.2g}, diverged at {rates[-1]:.2g}"
    short = search(line(), dots, low=1e-4, high=1e-3, steps=20)
    assert short.smoothed[1] == pytest.approx((0.5 * short.losses[0] + short.losses[1]) / 1.5)
    record = training.fit(line(), dots, epochs=5, optimizer="sgd", learning_rate=found.suggestion)
    assert record.final["val_accuracy"] > 0.95  # the suggestion is of use


def test_the_search_is_the_training_of_keras(dots):
    """The same losses as `train_on_batch` at the same rates, one after the other."""
    start = line()
    model = keras.models.clone_model(start)
    model.set_weights(start.get_weights())
    found = search(start, dots, low=1e-3, high=1.0, steps=10, batch_size=32)
    model.compile(optimizer=keras.optimizers.Adam(), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng, losses = np.random.default_rng(1), []
    order = np.concatenate([rng.permutation(200), rng.permutation(200)])
    for step, rate in enumerate(np.geomspace(1e-3, 1.0, 10)):
        model.optimizer.learning_rate = rate
        batch = order[32 * step : 32 * (step + 1)]
        model.reset_metrics()
        losses.append(float(model.train_on_batch(dots.x_train[batch], dots.y_train[batch])))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-4)


def normal_and_drop():
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(2)]
    )


def test_the_search_leaves_everything_as_it_was(dots):
    histories = []
    for searched in (False, True):
        training.seed_everything(4)
        model = normal_and_drop()
        before = [variable.numpy().copy() for variable in model.variables]
        if searched:
            search(model, dots)
            assert not model.compiled
            for variable, value in zip(model.variables, before, strict=True):
                np.testing.assert_array_equal(variable.numpy(), value)
        histories.append(training.fit(model, dots, epochs=2).history)
    assert histories[0] == histories[1]


def test_the_search_leaves_a_compiled_model_and_its_optimizer_alone(dots):
    model = line()
    adam = keras.optimizers.SGD(training.schedule("cosine", 0.1, 100), momentum=0.9)
    training.fit(model, dots, epochs=1, optimizer=adam)
    states = [variable.numpy().copy() for variable in adam.variables]
    first, second = search(model, dots, optimizer=adam), search(model, dots, optimizer=adam)
    np.testing.assert_array_equal(first.losses, second.losses)
    assert model.optimizer is adam
    for variable, value in zip(adam.variables, states, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_an_interrupted_search_leaves_the_weights_as_they_were(dots, monkeypatch):
    model, calls, step = line(), [], training._one_step
    before = model.get_weights()

    def interrupted(*args):
        calls.append(step(*args))
        if len(calls) == 5:
            assert np.abs(model.get_weights()[0] - before[0]).max() > 0
            raise KeyboardInterrupt
        return calls[-1]

    monkeypatch.setattr(training, "_one_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(model, dots)
    for now, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, was)


def test_a_search_where_no_rate_helps(dots):
    found = search(line(), dots, low=1e-9, high=1e-8, steps=10)
    assert (found.suggestion, found.diverged) == (None, False)
    assert repr(found) == "LearningRateSearch: suggestion none, did not diverge"


def test_a_search_survives_losses_that_are_not_numbers(dots):
    model = line(kernel_initializer=keras.initializers.Constant(np.nan))
    found = search(model, dots)
    assert (len(found.losses), found.suggestion, found.diverged) == (1, None, True)


def test_a_search_counts_the_penalties_of_layers(dots):
    plain, fined = line(kernel_initializer="ones"), line(kernel_initializer="ones", kernel_regularizer="l2")
    losses = [search(model, dots, steps=10).losses[0] for model in (plain, fined)]
    assert losses[1] - losses[0] == pytest.approx(0.01 * 4, rel=1e-4)


def test_the_search_shows_a_bar_to_somebody_who_watches(dots, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    search(line(), dots, verbose=True, steps=10)
    assert "learning rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"low": 0}, "`low` must be a number > 0"),
        ({"high": "much"}, "`high` must be a number > 0"),
        ({"low": 1.0, "high": 1.0}, r"`low` must be below `high` .*Use for example low=1e-06"),
        ({"steps": 9}, "`steps` must be an integer >= 10"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        ({"optimizer": "addam"}, "`optimizer` must be None, a name"),
        ({"seed": None}, "`seed` must be"),
    ],
)
def test_wrong_searches_are_refused(dots, settings, message):
    with pytest.raises(ValueError, match=f"find_learning_rate: {message}"):
        training.find_learning_rate(line(), dots, **settings)
    dots.y_train = dots.y_train + 1
    with pytest.raises(ValueError, match="find_learning_rate: `y_train` must hold class numbers"):
        training.find_learning_rate(line(), dots)


class Page:
    """Stands for a notebook: records what is displayed."""

    kernel = object()

    def __init__(self, allow_stdin):
        self.allow_stdin, self.shown = allow_stdin, []

    def get_parent(self):
        return {"content": {"allow_stdin": self.allow_stdin}}

    def display(self, data, raw, display_id):
        self.shown.append(data)
        return SimpleNamespace(update=lambda data, raw: self.shown.append(data))


@pytest.fixture
def notebook(monkeypatch):
    def enter(allow_stdin):
        page = Page(allow_stdin)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: page))
        monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=page.display))
        return page

    return enter


def test_a_person_at_a_notebook_sees_a_bar_that_goes_away(dots, notebook, capsys):
    page = notebook(allow_stdin=True)
    training.fit(line(), dots, epochs=2)
    shown = [data.get("text/plain", "") for data in page.shown]
    assert "epoch 2/2" in shown[-2]
    assert "100%" in shown[-2]
    assert "val_accuracy" in shown[-2]
    assert page.shown[-1] == {}  # nothing stays in the stored output
    assert capsys.readouterr() == ("", "")


def test_a_tool_that_runs_a_notebook_sees_nothing(dots, notebook, capsys):
    page = notebook(allow_stdin=False)
    training.fit(line(), dots, epochs=1)
    assert page.shown == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("terminal, verbose, bar", [(True, None, True), (False, None, False)])
def test_bar_in_a_terminal_only(dots, terminal, verbose, bar, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    training.fit(line(), dots, epochs=1, verbose=verbose)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("epoch 1/1" in err) == bar
    assert err == "" or bar


def bumpy():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((2,)), layers.Dense(4), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(2)]
    )


@pytest.mark.parametrize(
    "settings",
    [{"learning_rate": ("cosine", 0.05)}, {"optimizer": keras.optimizers.SGD(0.1, momentum=0.9)}, {"validation": 0.2}],
)
def test_fit_seeds_gives_the_records_of_single_trainings(dots, settings):
    seen, compiled = [], []
    records = training.fit_seeds(bumpy, dots, seeds=[3, 1, 2], each=seen.append, epochs=2, **settings)
    assert seen == records
    assert [record.seed for record in records] == [3, 1, 2]
    for record in records:
        training.seed_everything(record.seed)
        model, alone = bumpy(), dict(settings)
        if "optimizer" in alone:
            alone["optimizer"] = keras.optimizers.SGD(0.1, momentum=0.9)
        compiled.append(training.fit(model, dots, epochs=2, seed=record.seed, **alone))
    assert compiled == records
    assert records[0].history != records[1].history


def test_fit_seeds_compiles_once(dots, monkeypatch):
    compiled = []
    compile_ = keras.Model.compile
    monkeypatch.setattr(keras.Model, "compile", lambda self, **given: (compiled.append(self), compile_(self, **given)))
    assert len(training.fit_seeds(line, dots, epochs=1)) == 3
    assert len(compiled) == 1


def test_fit_seeds_stops_when_interrupted(dots):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.runs = getattr(self, "runs", 0) + 1
            if self.runs == 4:
                raise KeyboardInterrupt

    records = training.fit_seeds(line, dots, seeds=range(5), epochs=2, callbacks=[Stop()])
    assert [(record.seed, record.epochs, record.interrupted) for record in records] == [(0, 2, False), (1, 1, True)]


def test_fit_seeds_refuses(dots):
    with pytest.raises(ValueError, match=r"fit_seeds: `build` must be a function .* Write lambda: in front"):
        training.fit_seeds(line(), dots)
    with pytest.raises(ValueError, match="fit_seeds: `seed` must be an integer >= 0"):
        training.fit_seeds(line, dots, seeds=[0, -1])
    sizes = iter([2, 3])
    with pytest.raises(ValueError, match="fit_seeds: `build` must return the same layers every time"):
        training.fit_seeds(lambda: line(next(sizes)), dots, seeds=[0, 1], epochs=1)
    with pytest.raises(TypeError):
        training.fit_seeds(line, dots, seed=1)
