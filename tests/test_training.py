"""Training records: repeatable, interruptible, and clear about wrong input before any training starts."""

import json
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from course_cnn import training
from course_cnn._tensorflow import tf

# isort: split
import keras


@pytest.fixture
def dots():
    """Two Gaussian clouds in the plane, wide apart."""
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
    named = training._optimizer("rmsprop", 0.125)
    assert isinstance(named, keras.optimizers.RMSprop)
    assert float(named.learning_rate) == 0.125
    assert isinstance(training._optimizer(None, 1e-3), keras.optimizers.Adam)


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
    ],
)
def test_wrong_settings_are_refused(dots, settings, message):
    with pytest.raises(ValueError, match=f"fit: .*{message}"):
        training.fit(line(), dots, **settings)


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
