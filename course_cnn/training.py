"""Train and judge a classifier, with plain records out: what was asked, what came of it, in numbers that can be saved.

A model ends in logits, one per class; softmax is part of the loss (and of `evaluate`), where it is exact.
"""

import json
import math
import os
import tempfile
import time
from dataclasses import asdict, dataclass, field

import numpy as np

from course_cnn import _checks, _progress
from course_cnn._tensorflow import tf

# isort: split
import keras


@dataclass(frozen=True)
class Record:
    """What one training run was asked for and what came of it. Made by `fit`.

    history: dict of lists, one entry per finished epoch: `loss`, `accuracy` (a mean over the epoch, while the weights
    still moved) and, measured after the epoch on images not trained on, `val_loss`, `val_accuracy`.
    validation: "test", the held-back fraction, or None. params: numbers in the model. seconds: wall clock, not shown by
    `repr`, which is the same on every run.
    """

    history: dict
    epochs: int  # finished, fewer than asked for after an interruption or an early stop
    seconds: float = field(compare=False)
    seed: int | None
    batch_size: int
    learning_rate: float
    params: int
    validation: str | float | None
    interrupted: bool = False

    @property
    def final(self):
        """Dict with the last entry of each history; empty if no epoch was finished."""
        return {name: values[-1] for name, values in self.history.items()}

    def __repr__(self):
        text = f"Record: {self.epochs} epoch{'s' * (self.epochs != 1)}{', interrupted' * self.interrupted}"
        if "val_accuracy" in self.final:
            split = "test" if self.validation == "test" else "validation"
            return f"{text}, {split} accuracy {self.final['val_accuracy']:.3f}"
        return f"{text}, training accuracy {self.final['accuracy']:.3f}" if self.final else text

    def to_json(self):
        """Return the record as a JSON string. A loss that is infinite or not a number becomes null."""
        history = {name: [v if math.isfinite(v) else None for v in values] for name, values in self.history.items()}
        return json.dumps({**asdict(self), "history": history}, indent=1, allow_nan=False)

    def save(self, path):
        """Write the record to `path` as JSON, all of it or nothing."""
        folder = os.path.dirname(os.path.abspath(path))
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            try:
                file.write(self.to_json())
                file.close()
                os.replace(file.name, path)
            except BaseException:
                file.close()
                os.unlink(file.name)
                raise


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a classifier did on n images. Made by `evaluate`.

    accuracy: share of right answers, in [0, 1]. loss: mean cross-entropy, in nats. predicted: int array (n,), the class
    with the largest logit. confidence: float array (n,), its softmax probability. wrong: int array, the positions of
    the mistakes, in ascending order.
    """

    accuracy: float
    loss: float
    predicted: np.ndarray
    confidence: np.ndarray
    wrong: np.ndarray

    def __repr__(self):
        return (
            f"Evaluation: accuracy {self.accuracy:.3f}, loss {self.loss:.3f}, "
            f"{len(self.wrong)} wrong of {len(self.predicted)}"
        )


def seed_everything(seed):
    """Make what follows repeatable: seed Python, NumPy and TensorFlow, and let TensorFlow use only exact repeats.

    Call it before a model is built, for building draws the first weights. Numbers repeat on one machine; another
    processor or another version adds in another order and differs in the last digits, which training makes larger.

    Args:
        seed: int from 0 to 4,294,967,295.

    Raises:
        ValueError: `seed` is out of its range.

    Example:
        >>> seed_everything(0)
        >>> first = np.random.rand()
        >>> seed_everything(0)
        >>> bool(first == np.random.rand())
        True

    Source: TensorFlow API guide, `tf.config.experimental.enable_op_determinism`.
    """
    keras.utils.set_random_seed(_seed("seed_everything", seed))
    tf.config.experimental.enable_op_determinism()


def fit(
    model, dataset, *, epochs=15, batch_size=16, learning_rate=2e-3, optimizer=None, validation="test", seed=None,
    callbacks=(), verbose=None,
):  # fmt: skip
    """Compile a classifier with cross-entropy on logits and train it. Interrupt it and keep what was learned so far.

    The defaults suit small nets on small sets: LeNet-5 on `digits` at 32x32 ends between 97.3 % and 98 % on seeds 0 to
    11; of ten others one ended at 96.7 %. Lecture 13 has a steadier recipe. Larger nets want a smaller learning rate,
    larger sets larger batches and fewer epochs.

    Args:
        model: Keras model, one input, ends in logits (n, number of classes). Compiled here, so a former optimizer state
            is lost; the weights are not.
        dataset: an object with float arrays `x_train` (n, …) and int arrays `y_train` (n,), class numbers from 0; and
            `x_test`, `y_test` for validation on them.
        epochs: int >= 1, passes over the training images.
        batch_size: int >= 1, images per step.
        learning_rate: float > 0; not used when `optimizer` is an object, which has its own.
        optimizer: None for Adam, a name such as "sgd", or a `keras.optimizers` object not yet used on another model.
        validation: "test" for the test split, a fraction between 0 and 1 of the training images to hold back (drawn
            at random), or None. Who picks settings by looking at the result should hold back a fraction.
        seed: int, calls `seed_everything`; or None. The weights of the model are already drawn by then.
        callbacks: sequence of `keras.callbacks.Callback`.
        verbose: True for a progress bar, False for silence. None: a bar where somebody watches, that is in a terminal,
            or in a notebook whose cell was run by hand (the page that ran it can ask for input); silence where a tool
            runs the notebook or output goes to a file. The bar is removed at the end and stored outputs have none.

    Returns:
        `Record`; `interrupted=True` if the training was stopped by Ctrl-C or the stop button.

    Raises:
        ValueError: the images do not fit the model, the labels do not fit the number of logits, the model ends in
            softmax, or an argument is out of its range. All before training starts.

    Example:
        >>> from types import SimpleNamespace
        >>> x = np.repeat(np.eye(4, dtype="float32"), 50, axis=0)
        >>> y = np.repeat(np.arange(4), 50)
        >>> dots = SimpleNamespace(x_train=x, y_train=y, x_test=x, y_test=y)
        >>> seed_everything(0)
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        >>> fit(model, dots, epochs=2, learning_rate=0.1)
        Record: 2 epochs, test accuracy 1.000

    Source: Goodfellow et al., "Deep Learning", 2016, section 8.1.3 (minibatches); Kingma & Ba, "Adam", 2015.
    """
    epochs = _checks.integer("fit", "epochs", epochs, minimum=1)
    batch_size = _checks.integer("fit", "batch_size", batch_size, minimum=1)
    if seed is not None:
        seed_everything(_seed("fit", seed))
    optimizer = _optimizer(optimizer, learning_rate)
    train, held_back = _splits(model, dataset, validation, seed)

    model.compile(
        optimizer=optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    learning_rate = float(optimizer.learning_rate)  # before a callback or a schedule changes it
    history, interrupted, start = keras.callbacks.History(), False, time.perf_counter()
    with _progress.progress(verbose) as show:
        try:
            model.fit(
                _batches(*train, batch_size, shuffle=True),
                validation_data=held_back and _batches(*held_back, batch_size),
                epochs=epochs,
                shuffle=False,  # the batches are shuffled already
                callbacks=[history, *([_Watch(show)] if show else []), *callbacks],
                verbose=0,
            )
        except KeyboardInterrupt:
            interrupted = True
    return Record(
        history={name: [float(value) for value in values] for name, values in history.history.items()},
        epochs=len(history.history.get("loss", ())), seconds=time.perf_counter() - start, seed=seed,
        batch_size=batch_size, learning_rate=learning_rate, params=model.count_params(), validation=validation,
        interrupted=interrupted,
    )  # fmt: skip


def evaluate(model, x, y, *, batch_size=256):
    """Let a classifier answer for every image and compare with the labels.

    Args:
        model: Keras model that ends in logits.
        x: float array (n, …), images as the model takes them.
        y: int array (n,), class numbers from 0.
        batch_size: int >= 1, images per step; changes the memory needed and not the result.

    Returns:
        `Evaluation(accuracy, loss, predicted, confidence, wrong)`.

    Raises:
        ValueError: as for `fit`.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, kernel_initializer="identity")])
        >>> evaluate(model, np.array([[3.0, 0.0], [0.0, 3.0], [3.0, 0.0]]), np.array([0, 1, 1]))
        Evaluation: accuracy 0.667, loss 1.049, 1 wrong of 3
    """
    batch_size = _checks.integer("evaluate", "batch_size", batch_size, minimum=1)
    x, y = _checked("evaluate", model, x, y, "x", "y")
    # Called directly: model.predict would be traced anew for every model and, from the fifth on, warn about it.
    parts = [model(x[i : i + batch_size], training=False) for i in range(0, len(x), batch_size)]
    logits = np.concatenate([keras.ops.convert_to_numpy(part) for part in parts]).astype("float64")
    logits -= logits.max(axis=1, keepdims=True)  # exp cannot overflow, and softmax does not change
    log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    predicted, everyone = logits.argmax(axis=1), np.arange(len(y))
    return Evaluation(
        accuracy=float((predicted == y).mean()),
        loss=float(-log_probability[everyone, y].mean()),
        predicted=predicted,
        confidence=np.exp(log_probability[everyone, predicted]),
        wrong=np.flatnonzero(predicted != y),
    )


def _seed(function, seed):
    number = _checks.integer(function, "seed", seed, minimum=0)
    if number >= 2**32:  # NumPy's limit
        raise _checks.argument_error(function, "`seed` must be below 2**32", "Use for example seed=0", seed=seed)
    return number


def _optimizer(optimizer, learning_rate):
    """Return an optimizer object: Adam, the named one with this learning rate, or the one given."""
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, (int, float)) or not 0 < learning_rate < 1e6:
        raise _checks.argument_error(
            "fit", "`learning_rate` must be a number > 0", "Use for example learning_rate=0.001",
            learning_rate=learning_rate,
        )  # fmt: skip
    try:
        return keras.optimizers.get(
            {"class_name": optimizer or "adam", "config": {"learning_rate": float(learning_rate)}}
        )
    except (ValueError, TypeError, AttributeError):
        raise _checks.argument_error(
            "fit", '`optimizer` must be None, a name such as "sgd", or a keras.optimizers object',
            'Use optimizer="adam"', optimizer=optimizer,
        ) from None  # fmt: skip


def _splits(model, dataset, validation, seed):
    """Return checked ((x, y) to train on, (x, y) to validate on or None)."""
    wanted = ["x_train", "y_train"] + (["x_test", "y_test"] if validation == "test" else [])
    missing = [name for name in wanted if not hasattr(dataset, name)]
    if missing:
        raise _checks.argument_error(
            "fit", f"`dataset` must have {', '.join(wanted)}; it lacks {', '.join(missing)}",
            "Pass what datasets.load returns" + (", or validation=None" if validation == "test" else ""),
            **{"type(dataset)": type(dataset).__name__},
        )  # fmt: skip
    x, y = _checked("fit", model, dataset.x_train, dataset.y_train, "x_train", "y_train")
    if validation is None:
        return (x, y), None
    if validation == "test":
        return (x, y), _checked("fit", model, dataset.x_test, dataset.y_test, "x_test", "y_test")
    held = round(len(x) * validation) if isinstance(validation, float) and 0 < validation < 1 else 0
    if not 0 < held < len(x):
        raise _checks.argument_error(
            "fit", '`validation` must be "test", None or a fraction that leaves images on both sides',
            "Use validation=0.25", validation=validation, images=len(x),
        )  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(x))
    kept, held = order[held:], order[:held]
    return (x[kept], y[kept]), (x[held], y[held])


def _checked(function, model, x, y, x_name, y_name):
    """Return x and y as arrays, or raise: they must fit each other and the model, which must end in logits."""
    x, y = np.asarray(x), np.asarray(y)
    _checks.floating(function, **{x_name: x})
    shapes = {f"{x_name}.shape": x.shape, f"{y_name}.shape": y.shape}
    if y.ndim != 1 or y.dtype.kind not in "iu":
        remedy = f"Use {y_name}.argmax(axis=1)" if y.ndim == 2 else f"Use {y_name}.astype(int)"
        raise _checks.argument_error(
            function, f"`{y_name}` must hold one class number per image, int (n,)", remedy,
            **shapes, **{f"{y_name}.dtype": y.dtype.name},
        )  # fmt: skip
    if x.ndim < 2 or len(x) != len(y) or len(x) == 0:
        raise _checks.argument_error(
            function, f"`{x_name}` and `{y_name}` must have one entry per image, at least one",
            f"Cut both alike: {x_name}[:100], {y_name}[:100]", **shapes,
        )  # fmt: skip

    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *x.shape[1:]))
    want = getattr(model, "input_shape", None)  # None: a class of one's own, which does not tell
    if want is not None and (
        len(want) != x.ndim or any(n not in (None, m) for n, m in zip(want[1:], x.shape[1:], strict=True))
    ):
        remedy = f"Build the model with input_shape={x.shape[1:]}, or resize the images"
        if len(want) == x.ndim + 1:
            remedy = f"Add the channel axis: {x_name}[..., None]"
        raise _checks.argument_error(
            function, f"`{x_name}` must have the shape that the model takes", remedy,
            **{f"{x_name}.shape": x.shape, "model.input_shape": want},
        )  # fmt: skip

    logits = model(x[:1], training=False)
    if len(getattr(logits, "shape", ())) != 2:
        raise _checks.argument_error(
            function, "the model must end in one row of logits per image, (n, number of classes)",
            "End it with Flatten or GlobalAveragePooling2D and Dense(number of classes)",
            output=getattr(logits, "shape", type(logits).__name__),
        )  # fmt: skip
    last = model.layers[-1] if getattr(model, "layers", None) else None
    if isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax:
        raise _checks.argument_error(
            function, "the model must end in logits, for softmax is part of the loss",
            "Leave softmax out of the last layer", **{"last layer": last.name},
        )  # fmt: skip
    if y.min() < 0 or y.max() >= logits.shape[1]:
        raise _checks.argument_error(
            function, f"`{y_name}` must hold class numbers from 0 to {logits.shape[1] - 1}, the model has "
            f"{logits.shape[1]} logits",
            f"Build the model with num_classes={y.max() + 1}" if y.min() >= 0 else f"Use {y_name} - {y_name}.min()",
            smallest=int(y.min()), largest=int(y.max()),
        )  # fmt: skip
    return x, y


def _batches(x, y, batch_size, *, shuffle=False):
    """Return a tf.data.Dataset of (images, labels). Numbers are drawn and shuffled, images fetched when needed.

    Given arrays, Keras makes one that fetches in parallel; under op determinism TensorFlow 2.21 rewrites that and logs
    an error about it, a red line in every notebook.
    """
    numbers = tf.data.Dataset.range(len(x))
    if shuffle:
        numbers = numbers.shuffle(len(x))
    with tf.device("CPU"):
        x, y = tf.constant(x), tf.constant(y)
    return numbers.batch(batch_size).map(lambda i: (tf.gather(x, i), tf.gather(y, i))).prefetch(2)


class _Watch(keras.callbacks.Callback):
    """Tell `show(share of the work done, text)` how the training goes, five times a second at most."""

    def __init__(self, show):
        super().__init__()
        self.show, self.shown = show, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self.shown > 0.2:
            self._tell((batch + 1) / self.params["steps"], logs)

    def on_epoch_end(self, epoch, logs=None):
        self._tell(1, logs)

    def _tell(self, share, logs):
        self.shown, epochs = time.monotonic(), self.params["epochs"]
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in logs.items() if "loss" in name or "acc" in name)
        self.show((self.epoch + share) / epochs, f"epoch {self.epoch + 1}/{epochs}  {numbers}")
