"""A network out of the scratch layers: `Sequential`, which trains, and LeNet-5 built of its parts."""

import time
from dataclasses import dataclass, field

import numpy as np

from course_cnn import _checks, _progress
from course_cnn.scratch import losses, optimizers
from course_cnn.scratch._patches import one_thread
from course_cnn.scratch.layers import AvgPool2D, Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU, Tanh

LOSSES = {
    "softmax_cross_entropy": (losses.softmax_cross_entropy_forward, losses.softmax_cross_entropy_backward),
    "hinge": (losses.hinge_forward, losses.hinge_backward),
    "l2": (losses.l2_forward, losses.l2_backward),
}


@dataclass(frozen=True)
class FitRecord:
    """What `Sequential.fit` did.

    history: dict of lists, one number per finished epoch: "loss" and "accuracy" (means over the epoch, while the
    weights still moved), and after it on the validation data "val_loss" and "val_accuracy". epochs, steps: int,
    finished. seconds: wall clock. interrupted: bool, whether it was stopped by Ctrl-C.
    """

    history: dict
    epochs: int
    steps: int
    seconds: float = field(compare=False)
    interrupted: bool = False

    def __repr__(self):
        text = f"FitRecord: {self.epochs} epoch{'s' * (self.epochs != 1)}{', interrupted' * self.interrupted}"
        for key, split in (("val_accuracy", "validation"), ("accuracy", "training")):
            if self.history.get(key):
                return f"{text}, {split} accuracy {self.history[key][-1]:.3f}"
        return text


class Sequential:
    """Layers in a row: each takes what the one before it gives.

    Args:
        layers: sequence of layers, new ones.
        input_shape: tuple of int, the shape of one image, such as (28, 28, 1), or (d,) for rows of numbers.
        seed: int >= 0, for the starting weights and the masks of Dropout layers.
        dtype: "float32" or "float64" (slower, for checks).

    Attributes:
        layers: list. input_shape, output_shape: without the batch axis. params, grads: lists of the arrays of all
        layers in a row; `params` can be assigned a list of the same shapes.

    Raises:
        ValueError: a layer does not fit what comes before it, or is used twice.

    Example:
        >>> net = Sequential([Dense(3), ReLU(), Dense(2)], input_shape=(4,))
        >>> net
        Sequential: input (4,)
          Dense     (3,)     15 parameters
          ReLU      (3,)      0 parameters
          Dense     (2,)      8 parameters
          in all             23 parameters
        >>> x, y = np.eye(4, dtype="float32"), np.array([0, 0, 1, 1])
        >>> record = net.fit(x, y, epochs=200, batch_size=4, learning_rate=0.05)
        >>> net.predict(x)
        array([0, 0, 1, 1])

    Same weights and numbers as `keras.Sequential`. Source: Goodfellow, Bengio & Courville, "Deep Learning", 2016,
    algorithms 6.3 and 6.4.
    """

    def __init__(self, layers, *, input_shape, seed=0, dtype="float32"):
        seed = _checks.integer("Sequential", "seed", seed, minimum=0)
        self.dtype = np.dtype(_checks.choice("Sequential", "dtype", dtype, ("float32", "float64")))
        self.layers, self.input_shape = list(layers), _shape(input_shape)
        rng, shape = np.random.default_rng(seed), self.input_shape
        for number, layer in enumerate(self.layers):
            if not isinstance(layer, Layer) or layer.input_shape is not None:
                rule = "each of `layers` must be a layer, a new one for each place"
                raise _checks.argument_error(
                    "Sequential", rule, "Make it here, as in Sequential([Dense(10)], input_shape=(4,))",
                    **{f"layers[{number}]": layer},
                )  # fmt: skip
            layer.input_shape = shape
            try:
                shape = layer.output_shape = tuple(layer.build(shape, rng, self.dtype))
            except ValueError:
                for built in self.layers[: number + 1]:
                    built.input_shape = built.output_shape = None  # free again for a corrected network
                raise
        self.output_shape = shape

    def forward(self, x, training=False):
        """Return the scores for a batch x (n, *input_shape). training: bool, for BatchNorm and Dropout."""
        self._check_x("Sequential.forward", x)
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dscores):
        """Send dscores, the gradient of the loss by the scores, back through all layers; return the gradient by x.

        It belongs to the last `forward`. `grads` is then set, in the order of `params`.
        """
        for layer in reversed(self.layers):
            dscores = layer.backward(dscores)
        return dscores

    @property
    def params(self):
        """What is learned: list of arrays, layer by layer. Assigning a list of the same shapes takes a copy of it."""
        return [array for layer in self.layers for array in layer.params]

    @params.setter
    def params(self, arrays):
        arrays = iter(_matching("Sequential.params", arrays, self.params, self.dtype))
        for layer in self.layers:
            layer.params = [next(arrays) for _ in layer.params]

    @property
    def grads(self):
        """The gradients of the last `backward`, one for each of `params`."""
        return [array for layer in self.layers for array in layer.grads]

    def get_weights(self):
        """Return copies of all weights, layer by layer, in Keras's order: kernel, bias; gamma, beta, mean, variance."""
        return [array.copy() for layer in self.layers for array in layer.params + layer.state]

    def set_weights(self, weights):
        """Take over a list of arrays as `get_weights` gives it, here or from a Keras model with the same layers."""
        arrays = iter(_matching("Sequential.set_weights", weights, self.get_weights(), self.dtype))
        for layer in self.layers:
            layer.params = [next(arrays) for _ in layer.params]
            layer.state = [next(arrays) for _ in layer.state]

    def count_params(self):
        """Count the numbers in all weights."""
        return sum(layer.count_params() for layer in self.layers)

    def predict(self, x, *, batch_size=256):
        """Return the class with the highest score for each image: x (n, *input_shape) to int array (n,)."""
        return self._scores("Sequential.predict", x, batch_size).argmax(axis=1)

    def accuracy(self, x, y, *, batch_size=256):
        """Return the share of images whose predicted class is y, int (n,): a number in [0, 1]."""
        self._check_x("Sequential.accuracy", x)
        _checks.labels("Sequential.accuracy", "y", y, len(x))
        return float((self.predict(x, batch_size=batch_size) == y).mean())

    def fit(
        self, x, y, *, epochs, batch_size=32, optimizer=optimizers.adam, learning_rate=1e-3,
        loss="softmax_cross_entropy", seed=0, validation=None, verbose=None,
    ):  # fmt: skip
        """Train by steps on minibatches. Interrupt it (Ctrl-C, the stop button) and keep what was learned so far.

        Matrix products run on one core while it trains: those of small networks are too small to be shared, and on a
        busy machine threads that wait for each other cost ten times what they save. It also rounds alike everywhere.

        Args:
            x: float array (n, *input_shape), dtype of the network, finite.
            y: int array (n,), class numbers from 0; or what else `loss` takes, (n, c).
            epochs: int >= 1, passes over the images, each in a new order.
            batch_size: int >= 1, images per step; the last batch of an epoch may be smaller.
            optimizer: a step function as `scratch.adam`; for other settings, `functools.partial(scratch.adam, …)`.
            learning_rate: float > 0, or a schedule: a function from the number of the step, counted from 0, to a
                float > 0.
            loss: "softmax_cross_entropy", "hinge" or "l2"; or a pair (forward, backward) of functions like those.
            seed: int >= 0. The order of the epochs is `rng.permutation(n)` of one `np.random.default_rng(seed)`.
            validation: (x, y) to judge by after each epoch, or None.
            verbose: True for a progress bar, False for silence, None for a bar where somebody watches.

        Returns:
            `FitRecord`.

        Raises:
            ValueError: before training, if shapes, dtypes, labels or settings do not fit; while training, if scores or
                gradients are no longer finite. The weights are then those before the failed step.

        Source: Goodfellow, Bengio & Courville, "Deep Learning", 2016, algorithm 8.1.
        """
        epochs = _checks.integer("fit", "epochs", epochs, minimum=1)
        batch_size = _checks.integer("fit", "batch_size", batch_size, minimum=1)
        seed = _checks.integer("fit", "seed", seed, minimum=0)
        loss_functions = _loss(loss)
        self._check_data(x, y, loss_functions, "x", "y")
        if validation is not None:
            self._check_data(*_pair(validation), loss_functions, "validation[0]", "validation[1]")
        schedule = learning_rate if callable(learning_rate) else lambda step: learning_rate
        _rate(schedule, 0)

        rng, state, step = np.random.default_rng(seed), None, 0
        total, history, shown = epochs * -(-len(x) // batch_size), {}, 0.0
        interrupted, start = False, time.perf_counter()
        with _progress.progress(verbose) as show, one_thread(), np.errstate(all="ignore"):  # overflow is found below
            try:
                for epoch in range(1, epochs + 1):
                    order, losses_seen, right = rng.permutation(len(x)), 0.0, 0
                    for first in range(0, len(x), batch_size):
                        batch, rate = order[first : first + batch_size], _rate(schedule, step)
                        value, scores = self._gradients(x[batch], y[batch], loss_functions, step, epoch, rate)
                        self.params, state = optimizer(self.params, self.grads, state, learning_rate=rate)
                        step += 1
                        losses_seen += value * len(batch)
                        right += (scores.argmax(axis=1) == _classes(y[batch])).sum()
                        if show and time.monotonic() - shown > 0.2:
                            shown = time.monotonic()
                            show(step / total, f"epoch {epoch}/{epochs}  loss {value:.3f}")
                    results = {"loss": float(losses_seen / len(x)), "accuracy": float(right / len(x))}
                    if validation is not None:
                        scores = self._scores("fit", validation[0], 256)
                        results["val_loss"] = float(loss_functions[0](scores, validation[1])[0])
                        results["val_accuracy"] = float((scores.argmax(axis=1) == _classes(validation[1])).mean())
                    for key, number in results.items():
                        history.setdefault(key, []).append(number)
            except KeyboardInterrupt:
                interrupted = True
        finished = len(history.get("loss", ()))
        return FitRecord(history, finished, step, time.perf_counter() - start, interrupted)

    def _gradients(self, x, y, loss_functions, step, epoch, rate):
        """Run one batch forward and backward; return (loss, scores), or raise if numbers are no longer finite."""
        forward, backward = loss_functions
        remedy = (
            f"Use a smaller learning rate, learning_rate={rate / 10:.1g} or less, "
            "and images of mean 0 and variance 1: (x - x.mean()) / x.std()"
        )
        where = {"step": step, "epoch": epoch, "learning_rate": rate}
        scores = x
        for layer in self.layers:
            scores = layer.forward(scores, True)
        if not np.isfinite(scores).all():
            for layer in self.layers:
                x = layer.forward(x, True)
                if not np.isfinite(x).all():
                    raise _checks.argument_error(
                        "fit", f"what layer {layer.name!r} puts out is no longer finite", remedy, **where
                    )
        value, cache = forward(scores, y)
        dy = backward(1.0, cache)
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
            if not all(np.isfinite(grad).all() for grad in layer.grads):
                raise _checks.argument_error(
                    "fit", f"the gradients of layer {layer.name!r} are no longer finite", remedy, **where
                )
        return float(value), scores

    def _scores(self, function, x, batch_size):
        self._check_x(function, x)
        self._check_output(function)
        batch_size = _checks.integer(function, "batch_size", batch_size, minimum=1)
        parts = [self.forward(x[first : first + batch_size]) for first in range(0, len(x), batch_size)]
        return np.concatenate(parts) if parts else np.zeros((0, *self.output_shape), self.dtype)

    def _check_x(self, function, x, name="x"):
        shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
        if shape is None or tuple(shape[1:]) != self.input_shape or len(shape) == 0:
            remedy = f"Build the network with input_shape={tuple(shape[1:])}" if shape else f"Pass np.asarray({name})"
            if shape == self.input_shape:
                remedy = f"Add the batch axis: {name}[None]"
            elif shape and tuple(shape[1:]) == self.input_shape[:-1]:
                remedy = f"Add the channel axis: {name}[..., None]"
            raise _checks.argument_error(
                function, f"`{name}` must be a batch of what the network takes, (n, *input_shape)", remedy,
                **{f"{name}.shape": shape, "input_shape": self.input_shape},
            )  # fmt: skip
        if dtype != self.dtype:
            raise _checks.argument_error(
                function, f"`{name}` must have the dtype of the network, {self.dtype}",
                f"Convert it: {name}.astype('{self.dtype}')", **{f"{name}.dtype": str(dtype)},
            )  # fmt: skip

    def _check_output(self, function):
        if len(self.output_shape) != 1:
            raise _checks.argument_error(
                function, "the network must end in one row of scores per image",
                "End it with Flatten() and Dense(number of classes)", output_shape=self.output_shape,
            )  # fmt: skip

    def _check_data(self, x, y, loss_functions, x_name, y_name):
        """Raise unless the network can be trained on x and y with this loss."""
        self._check_output("fit")
        self._check_x("fit", x, x_name)
        if len(x) == 0:
            raise _checks.argument_error(
                "fit", f"`{x_name}` must hold at least one image", "Pass images", **{f"{x_name}.shape": x.shape}
            )
        _checks.finite("fit", **{x_name: x})
        if loss_functions == LOSSES["l2"] or (loss_functions not in LOSSES.values()) or getattr(y, "ndim", 1) == 2:
            loss_functions[0](np.zeros((len(x), *self.output_shape), self.dtype), y)  # raises what it has to say
        else:
            _checks.labels("fit", y_name, y, len(x), self.output_shape[0])

    def __repr__(self):
        rows = [(layer.name, str(layer.output_shape), layer.count_params()) for layer in self.layers]
        names = max([len(name) for name, *_ in rows] + [8]) + 1
        sizes = max([len(size) for _, size, _ in rows] + [6])
        counts = len(f"{self.count_params():,}") + 2
        lines = [f"  {name:{names}} {size:{sizes}} {count:{counts},} parameters" for name, size, count in rows]
        total = f"  {'in all':{names}} {'':{sizes}} {self.count_params():{counts},} parameters"
        return "\n".join([f"Sequential: input {self.input_shape}", *lines, total])


def build_lenet5(variant="1998", *, input_shape=None, num_classes=10, seed=0, dtype="float32"):
    """Build LeNet-5, or its remake with 20 and 50 filters, out of scratch layers. Ends in scores.

    Args:
        variant: "1998", tanh and average pooling on 32x32; or "20-50", ReLU and max pooling on 28x28.
        input_shape: (h, w, c) in pixels and channels; None for the variant's own, (32, 32, 1) or (28, 28, 1).
        num_classes: int >= 1, number of scores.
        seed, dtype: as in `Sequential`.

    Returns:
        `Sequential`; its weights are in the order of `course_cnn.zoo.build_lenet5(variant)`.

    Raises:
        ValueError: an unknown variant, or images too small for its layers.

    Example:
        >>> build_lenet5("1998").count_params()
        61706
        >>> build_lenet5("20-50").count_params()
        1256080

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.B.
    """
    _checks.choice("build_lenet5", "variant", variant, ("1998", "20-50"))
    num_classes = _checks.integer("build_lenet5", "num_classes", num_classes, minimum=1)
    if variant == "1998":
        layers = [
            Conv2D(6, 5, name="C1"), Tanh(), AvgPool2D(name="S2"),
            Conv2D(16, 5, name="C3"), Tanh(), AvgPool2D(name="S4"),
            Flatten(), Dense(120, name="C5"), Tanh(), Dense(84, name="F6"), Tanh(), Dense(num_classes, name="output"),
        ]  # fmt: skip
    else:
        layers = [
            Conv2D(20, 5, padding="same", name="C1"), ReLU(), MaxPool2D(name="S2"),
            Conv2D(50, 5, padding="same", name="C3"), ReLU(), MaxPool2D(name="S4"),
            Flatten(), Dense(500, name="F5"), ReLU(), Dense(num_classes, name="output"),
        ]  # fmt: skip
    default = (32, 32, 1) if variant == "1998" else (28, 28, 1)
    return Sequential(layers, input_shape=default if input_shape is None else input_shape, seed=seed, dtype=dtype)


def _shape(input_shape):
    """Return a shape as a tuple of ints >= 1, or raise."""
    try:
        shape = tuple(_checks.integer("Sequential", "input_shape", size, minimum=1) for size in input_shape)
    except (TypeError, ValueError):
        shape = ()
    if not shape:
        raise _checks.argument_error(
            "Sequential", "`input_shape` is the shape of one image, integers >= 1",
            "Use for example input_shape=(28, 28, 1), or (4,) for rows of 4 numbers", input_shape=input_shape,
        )  # fmt: skip
    return shape


def _matching(function, arrays, wanted, dtype):
    """Return the arrays in `dtype`, or raise unless they have the shapes of `wanted`, one by one."""
    arrays = [np.array(array, dtype) for array in arrays]
    got, want = [array.shape for array in arrays], [array.shape for array in wanted]
    if got != want:
        raise _checks.argument_error(
            function, "there must be one array for each of the network's, of the same shape",
            f"Pass arrays of the shapes {want}", shapes=got,
        )  # fmt: skip
    return arrays


def _loss(loss):
    if isinstance(loss, (tuple, list)) and len(loss) == 2 and all(map(callable, loss)):
        return tuple(loss)
    return LOSSES[_checks.choice("fit", "loss", loss if isinstance(loss, str) else repr(loss), tuple(LOSSES))]


def _pair(validation):
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise _checks.argument_error(
            "fit", "`validation` must be a pair (x, y) or None", "Use validation=(x_test, y_test)",
            **{"type(validation)": type(validation).__name__},
        )  # fmt: skip
    return validation


def _rate(schedule, step):
    """Return the learning rate of one step as a float > 0, or raise."""
    rate = schedule(step)
    return _checks.positive("fit", "learning_rate" if step == 0 else f"learning_rate({step})", rate, 0.001)


def _classes(y):
    return y if y.ndim == 1 else y.argmax(axis=1)
