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
from course_cnn import augment as augmentation
from course_cnn._tensorflow import tf

# isort: split
import keras


@dataclass(frozen=True)
class Record:
    """What one training run was asked for and what came of it. Made by `fit`.

    history: dict of lists, one entry per finished epoch: `loss`, `accuracy` (a mean over the epoch, while the weights
    still moved) and, measured after the epoch on images not trained on, `val_loss`, `val_accuracy`.
    validation: "test", the held-back fraction, or None. params: numbers in the model. learning_rate: at the first step;
    schedule: the settings of what it then followed, as Keras writes them, or None if it stayed. kept_epoch: with early
    stopping, the epoch (from 1) whose weights the model has now. seconds: wall clock, not shown by `repr`, which is the
    same on every run.
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
    schedule: dict | None = None
    stopped_early: bool = False
    kept_epoch: int | None = None

    @property
    def final(self):
        """Dict with the entry of each history for the weights the model has now; empty if no epoch was finished.

        That is the last entry, or with early stopping the one of `kept_epoch`.
        """
        return {name: values[(self.kept_epoch or 0) - 1] for name, values in self.history.items()}

    def __repr__(self):
        text = f"Record: {self.epochs} epoch{'s' * (self.epochs != 1)}{', interrupted' * self.interrupted}"
        text += ", stopped early" * self.stopped_early + f", epoch {self.kept_epoch} kept" * bool(self.kept_epoch)
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


@dataclass(frozen=True, eq=False)
class LearningRateSearch:
    """The loss at one learning rate after the other, from small to large. Made by `find_learning_rate`.

    learning_rates: float array (n,), tried in this order, each for one step. losses: float array (n,), of each batch
    before its step. smoothed: float array (n,), their fading mean over about a tenth of the steps asked for.
    suggestion: a tenth of the rate at which `smoothed` is lowest, or None if it never fell by a tenth. diverged: the
    loss grew to four times its lowest, or was not finite any more, and the search stopped there.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    diverged: bool

    def __repr__(self):
        found = "none" if self.suggestion is None else f"{self.suggestion:.2g}"
        end = f"diverged at {self.learning_rates[-1]:.2g}" if self.diverged else "did not diverge"
        return f"LearningRateSearch: suggestion {found}, {end}"


@keras.saving.register_keras_serializable(package="course_cnn")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Let the learning rate rise evenly during the first steps, then follow another schedule from its beginning.

    Step t, from 0, has (t + 1) / (warmup + 1) of the rate at which `after` begins.

    Args:
        after: `keras.optimizers.schedules.LearningRateSchedule`.
        warmup: int >= 1, steps.

    Source: Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2.
    """

    def __init__(self, after, warmup):
        self.after, self.warmup = after, _checks.integer("WarmUp", "warmup", warmup, minimum=1)

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rising = self.after(0.0) * (step + 1) / (self.warmup + 1)
        return keras.ops.where(step < self.warmup, rising, self.after(keras.ops.maximum(step - self.warmup, 0)))

    def get_config(self):
        return {"after": keras.optimizers.schedules.serialize(self.after), "warmup": self.warmup}

    @classmethod
    def from_config(cls, config):
        return cls(keras.optimizers.schedules.deserialize(config["after"]), config["warmup"])


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
    model, dataset, *, epochs=15, batch_size=16, learning_rate=2e-3, optimizer=None, validation="test", patience=None,
    augment=None, seed=None, callbacks=(), verbose=None,
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
        learning_rate: float > 0; or such as ("cosine", 0.01), the kind of a `schedule` that ends with the last epoch,
            and its largest rate; or a schedule object. Not used when `optimizer` is an object, which has its own.
        optimizer: None for Adam, a name such as "sgd", or a `keras.optimizers` object not yet used on another model.
        validation: "test" for the test split, a fraction between 0 and 1 of the training images to hold back (drawn
            at random), or None. Who picks settings by looking at the result should hold back a fraction.
        patience: None, or int >= 1: stop when the loss on held-back images has not been lower than ever for so many
            epochs, and go back to the weights of the best one (`Record.kept_epoch`). Needs a fraction for `validation`:
            who stops by the test images has chosen the weights that suit them, and measures too good a figure.
        augment: None, or a Keras layer (`augment.build`, a Sequential of Keras's random layers) that changes every
            training batch as it is drawn, each time in another way. Validation images stay as they are.
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
    stopper = _stopper(patience, validation)
    train, held_back = _splits(model, dataset, validation, seed)
    again = isinstance(optimizer, _Again)
    optimizer = optimizer.optimizer if again else optimizer
    optimizer = _optimizer("fit", optimizer, learning_rate, epochs * math.ceil(len(train[0]) / batch_size))
    batches = _batches(*train, batch_size, shuffle=True, augment=_augment(augment, train[0]), seed=seed)

    _compile(model, optimizer, again)
    learning_rate = float(optimizer.learning_rate)  # before a callback or a schedule changes it
    schedule = optimizer.get_config()["learning_rate"]
    start = time.perf_counter()
    judge = held_back and _batches(*held_back, batch_size)
    history, interrupted = _train(model, batches, judge, epochs, [*([stopper] if stopper else []), *callbacks], verbose)
    if interrupted and stopper:
        stopper.on_train_end()  # back to the best weights
    kept = stopper is not None and stopper.best_weights is not None
    return Record(
        history=history, epochs=len(history.get("loss", ())), seconds=time.perf_counter() - start, seed=seed,
        batch_size=batch_size, learning_rate=learning_rate, params=model.count_params(), validation=validation,
        interrupted=interrupted, schedule=schedule if isinstance(schedule, dict) else None,
        stopped_early=kept and stopper.stopped_epoch > 0, kept_epoch=stopper.best_epoch + 1 if kept else None,
    )  # fmt: skip


def fit_seeds(build, dataset, *, seeds=(0, 1, 2), each=None, **settings):
    """Train one network several times, from other first weights and with the images in another order each time.

    One run says little about learning: the next may end elsewhere. This gives the bands of `plots.plot_bands`. Each
    record is the one that `seed_everything(seed)` and `fit(build(), dataset, seed=seed, …)` give; but the network is
    compiled only once, which for deep networks takes longer than a short training.

    Args:
        build: function without arguments that returns a new model, always of the same layers.
        dataset: as for `fit`.
        seeds: sequence of int from 0 to 4,294,967,295, one training each.
        each: None, or a function called with every `Record` as soon as it is there, to keep it.
        **settings: those of `fit`, except seed. An optimizer object serves as a pattern and is left as it is.

    Returns:
        list of `Record`, one per seed. If the training was interrupted, the one it happened in is the last.

    Raises:
        ValueError: as for `fit`; `build` is not a function, or its models differ in their weights.

    Example:
        >>> from types import SimpleNamespace
        >>> dots = SimpleNamespace(x_train=np.eye(4, dtype="float32"), y_train=np.arange(4))
        >>> def build():
        ...     return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        >>> records = fit_seeds(build, dots, seeds=[0, 1], epochs=3, validation=None)
        >>> np.array([record.history["loss"] for record in records]).shape      # (seeds, epochs)
        (2, 3)

    Source: Goodfellow et al., "Deep Learning", 2016, section 8.4 (first weights).
    """
    if not callable(build) or isinstance(build, keras.Model):
        raise _checks.argument_error(
            "fit_seeds", "`build` must be a function that returns a new model", "Write lambda: in front of the call",
            **{"type(build)": type(build).__name__},
        )  # fmt: skip
    seeds, records, model = [_seed("fit_seeds", seed) for seed in seeds], [], None
    pattern = settings.pop("optimizer", None)
    for seed in seeds:
        seed_everything(seed)
        fresh, optimizer = build(), _copied(pattern)
        if model is None:
            model, variables = fresh, list(fresh.variables)
        else:
            _copy_variables(variables, fresh.variables)
            optimizer = _Again(optimizer)
        records.append(fit(model, dataset, optimizer=optimizer, seed=seed, **settings))
        if each:
            each(records[-1])
        if records[-1].interrupted:
            break
    return records


def schedule(kind, learning_rate, steps, *, warmup=0, end=0.01):
    """Make a schedule: the learning rate as a function of the number of steps taken.

    Args:
        kind: "constant"; "step": two drops, after 1/2 and 3/4 of the steps; "exponential": in equal ratios; "cosine":
            along half a cosine, flat at both ends.
        learning_rate: float > 0, the largest.
        steps: int >= 1, steps of the whole training: epochs * ceil(images / batch_size). Then it stays where it is,
            but for "exponential", which goes on falling.
        warmup: int >= 0 and below `steps`, the first steps, in which the rate rises evenly to `learning_rate`.
        end: float in (0, 1), the share of `learning_rate` that is left at the end; 0 also for "cosine".

    Returns:
        `keras.optimizers.schedules.LearningRateSchedule`, for `fit` and every Keras optimiser.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> schedule_values(schedule("step", 0.1, 8), 8)
        array([0.1  , 0.1  , 0.1  , 0.1  , 0.01 , 0.01 , 0.001, 0.001],
              dtype=float32)

    Source: He et al., "Deep residual learning", 2016, section 4.2 ("step"); Loshchilov & Hutter, "SGDR", 2017,
    section 3 ("cosine").
    """
    schedules = keras.optimizers.schedules
    _checks.choice("schedule", "kind", kind, ("constant", "step", "exponential", "cosine"))
    rate = _checks.positive("schedule", "learning_rate", learning_rate, 0.001)
    steps = _checks.integer("schedule", "steps", steps, minimum=1)
    warmup = _checks.integer("schedule", "warmup", warmup, minimum=0)
    end = _checks.rate("schedule", "end", end)
    if warmup >= steps:
        raise _checks.argument_error(
            "schedule", "`warmup` must be below `steps`", f"Use for example warmup={steps // 10}", warmup=warmup,
            steps=steps,
        )  # fmt: skip
    if end == 0 and kind in ("step", "exponential"):
        raise _checks.argument_error(
            "schedule", f'`end` must be above 0 for "{kind}", which multiplies', "Use end=0.01", end=end
        )
    left = steps - warmup
    if kind == "constant":
        after = schedules.ExponentialDecay(rate, left, 1.0)
    elif kind == "step":  # Keras drops after the boundary
        after = schedules.PiecewiseConstantDecay(
            [left // 2 - 1, 3 * left // 4 - 1], [rate, rate * end**0.5, rate * end]
        )
    elif kind == "exponential":
        after = schedules.ExponentialDecay(rate, left, end)
    else:
        after = schedules.CosineDecay(rate, left, alpha=end)
    return WarmUp(after, warmup) if warmup else after


def schedule_values(schedule, steps):
    """Look up the learning rate of each step, to draw it with `plots.plot_schedule`.

    Args:
        schedule: `keras.optimizers.schedules.LearningRateSchedule`, as from `schedule`.
        steps: int >= 1.

    Returns:
        float32 array (steps,), the rates at step 0, 1, …, as Keras computes them.

    Raises:
        ValueError: `schedule` is not a schedule, or `steps` < 1.

    Example:
        >>> schedule_values(schedule("constant", 0.5, 6, warmup=3), 6)
        array([0.125, 0.25 , 0.375, 0.5  , 0.5  , 0.5  ], dtype=float32)
    """
    steps = _checks.integer("schedule_values", "steps", steps, minimum=1)
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        raise _checks.argument_error(
            "schedule_values", "`schedule` must be a Keras learning-rate schedule",
            'Make one: training.schedule("cosine", 0.01, steps)', schedule=schedule,
        )  # fmt: skip
    return np.array([schedule(step) for step in range(steps)], "float32")


def find_learning_rate(
    model, dataset, *, low=1e-6, high=1.0, steps=100, batch_size=16, optimizer=None, seed=0, verbose=None
):
    """Try learning rates from small to large, one per step, and watch the loss: it falls, then it blows up.

    The model is left as it was found, also after Ctrl-C: weights, moving means and random states. It is not compiled.

    Args:
        model, dataset: as for `fit`. Only the training images are used.
        low, high: float > 0, the first and the last learning rate; each is the one before times the same factor.
        steps: int >= 10, rates to try.
        batch_size: int >= 1, images per step; use the one you will train with.
        optimizer: as for `fit`. An object serves as a pattern and is left as it is; its learning rate is not used.
        seed: int >= 0, draws the order of the images, and touches no other random number.
        verbose: as for `fit`.

    Returns:
        `LearningRateSearch(learning_rates, losses, smoothed, suggestion, diverged)`, for `plots.plot_learning_rates`.

    Raises:
        ValueError: as for `fit`; low >= high.

    Example:
        >>> from types import SimpleNamespace
        >>> dots = SimpleNamespace(x_train=np.eye(4, dtype="float32"), y_train=np.arange(4))
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, kernel_initializer="zeros")])
        >>> search = find_learning_rate(model, dots, steps=50, batch_size=4)
        >>> search.losses.shape, 0.01 < search.suggestion < 1
        ((50,), True)

    Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.
    """
    function = "find_learning_rate"
    low, high = _checks.positive(function, "low", low, 1e-6), _checks.positive(function, "high", high, 1.0)
    if low >= high:
        raise _checks.argument_error(
            function, "`low` must be below `high`", f"Use for example low={high / 1e6:g}", low=low, high=high
        )
    steps = _checks.integer(function, "steps", steps, minimum=10)
    batch_size = _checks.integer(function, "batch_size", batch_size, minimum=1)
    rng = np.random.default_rng(_seed(function, seed))
    optimizer = _optimizer(function, optimizer, low)
    optimizer = type(optimizer).from_config({**optimizer.get_config(), "learning_rate": low})
    (x, y), _ = _splits(model, dataset, None, None, function)

    rates, losses, smoothed, mean = np.geomspace(low, high, steps), [], [], 0.0
    keep = 1 - 10 / steps
    order = np.concatenate([rng.permutation(len(x)) for _ in range(math.ceil(steps * batch_size / len(x)))])
    before = [variable.numpy().copy() for variable in model.variables]
    try:
        with _progress.progress(verbose) as show:
            for step, rate in enumerate(rates):
                batch = order[step * batch_size : (step + 1) * batch_size]
                optimizer.learning_rate = rate
                losses.append(_one_step(model, optimizer, x[batch], y[batch]))
                mean = keep * mean + (1 - keep) * losses[-1]
                smoothed.append(mean / (1 - keep ** (step + 1)))  # corrected for its start at 0, as in Adam
                if not smoothed[-1] <= 4 * min(smoothed):  # True for nan, too
                    break
                if show:
                    show((step + 1) / steps, f"learning rate {rate:.2g}  loss {losses[-1]:.3f}")
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
    lowest = int(np.nan_to_num(smoothed, nan=np.inf).argmin())
    return LearningRateSearch(
        rates[: len(losses)], np.array(losses), np.array(smoothed),
        suggestion=float(rates[lowest]) / 10 if smoothed[lowest] < 0.9 * smoothed[0] else None,
        diverged=not smoothed[-1] <= 4 * smoothed[lowest],
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


def _stopper(patience, validation):
    """Return the callback that stops early, or None; raise if there is nothing to judge by, or only the test images."""
    if patience is None:
        return None
    patience = _checks.integer("fit", "patience", patience, minimum=1)
    if validation is None or validation == "test":
        raise _checks.argument_error(
            "fit", "`patience` needs training images that are held back to judge by; the test images must not decide "
            "when to stop", "Use validation=0.1", patience=patience, validation=validation,
        )  # fmt: skip
    return keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)


def _augment(augment, x):
    """Return the checked and built augmentation layer, or None."""
    if augment is None:
        return None
    if not isinstance(augment, keras.layers.Layer):
        raise _checks.argument_error(
            "fit", "`augment` must be None or a Keras layer", "Make one: augment.build(shift=0.1)", augment=augment
        )
    rows = x.reshape(len(x), -1)
    extremes = x[[rows.min(axis=1).argmin(), rows.max(axis=1).argmax()]]  # so that it can refuse their values
    after = augment(extremes, training=True)  # also makes its variables, which cannot be made inside the pipeline
    if tuple(after.shape[1:]) != x.shape[1:]:
        raise _checks.argument_error(
            "fit", "`augment` must keep the size of the images", "Build it with crop, which enlarges again",
            before=x.shape[1:], after=tuple(after.shape[1:]),
        )  # fmt: skip
    return augment


def _train(model, batches, held_back, epochs, callbacks, verbose):
    """Run `model.fit` under a bar; return (history as a dict of lists of floats, whether it was interrupted)."""
    history, interrupted = keras.callbacks.History(), False
    with _progress.progress(verbose) as show:
        try:
            model.fit(
                batches,
                validation_data=held_back,
                epochs=epochs,
                shuffle=False,  # the batches are shuffled already
                callbacks=[history, *([_Watch(show)] if show else []), *callbacks],
                verbose=0,
            )
        except KeyboardInterrupt:
            interrupted = True
    return {name: [float(value) for value in values] for name, values in history.history.items()}, interrupted


@dataclass(frozen=True)
class _Again:
    """Given to `fit` in place of an optimizer: the model is compiled already, only the optimizer starts anew."""

    optimizer: object


def _compile(model, optimizer, again):
    """Compile the model; or, if it is to train again as it did, give its own optimizer the state of the new one."""
    if again:
        optimizer.build(model.trainable_variables)
        _copy_variables(model.optimizer.variables, optimizer.variables)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])


def _copied(optimizer):
    """Return an optimizer object like this one with its state at the start; anything else as it is."""
    known = isinstance(optimizer, keras.optimizers.Optimizer)
    return type(optimizer).from_config(optimizer.get_config()) if known else optimizer


def _copy_variables(old, new):
    shapes, others = ([tuple(variable.shape) for variable in variables] for variables in (old, new))
    if shapes != others:
        raise _checks.argument_error(
            "fit_seeds", "`build` must return the same layers every time", "Let it draw nothing but weights",
            **{"weights before": len(shapes), "weights now": len(others)},
        )  # fmt: skip
    for variable, value in zip(old, new, strict=True):
        variable.assign(value)


def _one_step(model, optimizer, x, y):
    """Take one training step outside of `model.fit`, which would need the model compiled; return the loss before it."""
    with tf.GradientTape() as tape:
        logits = model(x, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits) + sum(model.losses)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return float(loss)


def _optimizer(function, optimizer, learning_rate, steps=None):
    """Return an optimizer object: Adam, the named one with this learning rate, or the one given."""
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    if isinstance(learning_rate, tuple) and len(learning_rate) == 2:
        learning_rate = schedule(*learning_rate, steps)
    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = _checks.positive(function, "learning_rate", learning_rate, 0.001)
    try:
        kind = type(keras.optimizers.get(optimizer or "adam"))
    except (ValueError, TypeError, AttributeError):
        raise _checks.argument_error(
            function, '`optimizer` must be None, a name such as "sgd", or a keras.optimizers object',
            'Use optimizer="adam"', optimizer=optimizer,
        ) from None  # fmt: skip
    return kind(learning_rate=learning_rate)


def _splits(model, dataset, validation, seed, function="fit"):
    """Return checked ((x, y) to train on, (x, y) to validate on or None)."""
    wanted = ["x_train", "y_train"] + (["x_test", "y_test"] if validation == "test" else [])
    missing = [name for name in wanted if not hasattr(dataset, name)]
    if missing:
        raise _checks.argument_error(
            function, f"`dataset` must have {', '.join(wanted)}; it lacks {', '.join(missing)}",
            "Pass what datasets.load returns" + (", or validation=None" if validation == "test" else ""),
            **{"type(dataset)": type(dataset).__name__},
        )  # fmt: skip
    x, y = _checked(function, model, dataset.x_train, dataset.y_train, "x_train", "y_train")
    if validation is None:
        return (x, y), None
    if validation == "test":
        return (x, y), _checked(function, model, dataset.x_test, dataset.y_test, "x_test", "y_test")
    held = round(len(x) * validation) if isinstance(validation, float) and 0 < validation < 1 else 0
    if not 0 < held < len(x):
        raise _checks.argument_error(
            function, '`validation` must be "test", None or a fraction that leaves images on both sides',
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


def _batches(x, y, batch_size, *, shuffle=False, augment=None, seed=None):
    """Return a tf.data.Dataset of (images, labels). Numbers are drawn and shuffled, images fetched when needed.

    Given arrays, Keras makes one that fetches in parallel; under op determinism TensorFlow 2.21 rewrites that and logs
    an error about it, a red line in every notebook.
    """
    numbers = tf.data.Dataset.range(len(x))
    if shuffle:
        numbers = numbers.shuffle(len(x))
    with tf.device("CPU"):
        x, y = tf.constant(x), tf.constant(y)
    batches = numbers.batch(batch_size).map(lambda i: (tf.gather(x, i), tf.gather(y, i)))
    if augment is not None:
        draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        batches = tf.data.Dataset.zip(batches, draws).map(
            lambda batch, draw: (augmentation.apply(augment, batch[0], draw), batch[1])
        )
    return batches.prefetch(2)


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
