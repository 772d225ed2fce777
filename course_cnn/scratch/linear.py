"""Linear classifiers: the perceptrons and softmax regression. Fit, predict, look at the weights.

All three score an image by a dot product with a table of weights, h = f(x W + b), and all three learn by the same step:

    W <- W - a x^T (h - t),    b <- b - a (h - t)

x is the row of pixels, t what was right, h what was said, a the step size. Only f differs: the softmax for softmax
regression, a 1 for the best class and 0 for the others in the multiclass perceptron, the sign with two classes.
"""

import numpy as np

from course_cnn import _checks
from course_cnn.scratch.dense import check_rows, dense_backward, dense_forward
from course_cnn.scratch.losses import softmax, softmax_cross_entropy_backward, softmax_cross_entropy_forward


class _Linear:
    """What the three share: scores, and the class with the highest one."""

    weights = bias = None

    def scores(self, x):
        """Return x W + b: one number per image and class, (n, c); with two classes one number per image, (n,).

        Args:
            x: float array (n, d), dtype of the training images.
        """
        name = f"{type(self).__name__}.scores"
        if self.weights is None:
            raise _checks.argument_error(name, "there are no weights yet", "Call fit(x, y) first")
        check_rows(name, x)
        _checks.floating(name, x=x, weights=self.weights)
        if x.shape[1] != len(self.weights):
            raise _checks.argument_error(
                name, f"`x` has {x.shape[1]} numbers in each row but the training images had {len(self.weights)}",
                "Prepare both in the same way", **{"x.shape": x.shape},
            )  # fmt: skip
        return x @ self.weights + self.bias

    def predict(self, x):
        """Return the class with the highest score, the first one in a tie: int array (n,)."""
        return self.scores(x).argmax(axis=1)


class Perceptron(_Linear):
    """Two classes and a line between them: say sign(x w + b), and learn from mistakes only.

    A misclassified image is added to the weights if it belongs to class +1, and taken off if to class -1. A score of
    exactly 0 counts as a mistake: it is on neither side. If any line separates the classes with room to spare, the
    mistakes come to an end: there are never more than (R / gamma)² of them, where R is the length of the longest row
    and gamma the distance from the line to the nearest, both in the space with one more axis, always 1, for the bias.

    Args:
        epochs: int >= 1, passes over the data at the most. We stop after one without a mistake.
        seed: None for the given order in each epoch, or an int that seeds a new order in each.

    After `fit`: `weights` (d,), `bias`, `mistakes` (one int per epoch), `converged` (whether the last was 0).

    Example:
        >>> x = np.array([[2.0, 1.0], [1.0, 3.0], [-1.0, -2.0]])
        >>> model = Perceptron().fit(x, np.array([1, 1, -1]))
        >>> model.weights, model.mistakes, model.predict(x)
        (array([2., 1.]), [1, 0], array([ 1, 1, -1]))

    Source: Rosenblatt, "The perceptron", 1958; the bound: Novikoff, "On convergence proofs on perceptrons", 1962.
    """

    def __init__(self, epochs=100, *, seed=None):
        self.epochs, self.seed = _checks.integer("Perceptron", "epochs", epochs, minimum=1), seed

    def fit(self, x, y):
        """Learn from x, float array (n, d), and y (n,), -1 or +1. Returns self. A second call starts afresh."""
        y = _check_signs("Perceptron.fit", x, y)
        self.weights, self.bias, self.mistakes = np.zeros(x.shape[1], x.dtype), x.dtype.type(0), []
        for order in _orders(len(x), self.epochs, self.seed):
            self.mistakes.append(0)
            for i in order:
                if y[i] * (x[i] @ self.weights + self.bias) <= 0:
                    self.weights += y[i] * x[i]
                    self.bias += y[i]
                    self.mistakes[-1] += 1
            self.converged = self.mistakes[-1] == 0
            if self.converged:
                break
        return self

    def predict(self, x):
        """Return +1 where the score is positive, else -1: int array (n,)."""
        return np.where(self.scores(x) > 0, 1, -1)


class MulticlassPerceptron(_Linear):
    """One column of weights per class; on a mistake the right one gains the image, the one that was named loses it.

    Args:
        epochs: int >= 1, passes over the data at the most. We stop after one without a mistake.
        seed: None for the given order in each epoch, or an int that seeds a new order in each.

    After `fit`: `weights` (d, c), `bias` (c,), `mistakes` (one int per epoch), `converged` (whether the last was 0).

    Example:
        >>> x = np.eye(3)
        >>> model = MulticlassPerceptron().fit(x, np.array([0, 1, 2]))
        >>> model.predict(x), model.mistakes
        (array([0, 1, 2]), [2, 1, 0])

    Source: Duda, Hart & Stork, "Pattern Classification", 2001, section 5.12 (Kesler's construction).
    """

    def __init__(self, epochs=100, *, seed=None):
        self.epochs, self.seed = _checks.integer("MulticlassPerceptron", "epochs", epochs, minimum=1), seed

    def fit(self, x, y):
        """Learn from x, float array (n, d), and y, int array (n,), classes 0 to c - 1. Returns self, started afresh."""
        one_hot = np.eye(_check_classes("MulticlassPerceptron.fit", x, y), dtype=x.dtype)
        self.weights, self.bias, self.mistakes = np.zeros((x.shape[1], len(one_hot)), x.dtype), 0 * one_hot[0], []
        for order in _orders(len(x), self.epochs, self.seed):
            self.mistakes.append(0)
            for i in order:
                named = (x[i] @ self.weights + self.bias).argmax()
                if named != y[i]:
                    error = one_hot[named] - one_hot[y[i]]  # h - t
                    self.weights -= np.outer(x[i], error)
                    self.bias -= error
                    self.mistakes[-1] += 1
            self.converged = self.mistakes[-1] == 0
            if self.converged:
                break
        return self


class SoftmaxRegression(_Linear):
    """Logistic regression for c classes: a dense layer, a softmax, and gradient descent on the cross-entropy.

    The loss has one valley only, so where we start does not matter; we start at 0.

    Args:
        learning_rate: number > 0, step size a.
        epochs: int >= 1, passes over the data.
        batch_size: int >= 1, images per step, or None for all of them.
        weight_penalty: number in [0, 1). Half of it times the sum of the squared weights is added to the loss, which
            keeps them small (L2 regularisation); the bias goes free.
        seed: int, seeds the new order in each epoch.

    After `fit`: `weights` (d, c), `bias` (c,), and per epoch `losses` (mean over the batches, penalty included) and
    `mistakes` (each image counted just before its step).

    Example:
        >>> x = np.array([[0.0], [1.0], [2.0]])
        >>> model = SoftmaxRegression(learning_rate=1.0).fit(x, np.array([0, 0, 1]))
        >>> model.predict(x)
        array([0, 0, 1])

    Source: Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.4.
    """

    def __init__(self, learning_rate=0.1, epochs=100, *, batch_size=32, weight_penalty=0.0, seed=0):
        name = "SoftmaxRegression"
        self.learning_rate = _checks.positive(name, "learning_rate", learning_rate, 0.1)
        self.epochs = _checks.integer(name, "epochs", epochs, minimum=1)
        self.batch_size = (
            batch_size if batch_size is None else _checks.integer(name, "batch_size", batch_size, minimum=1)
        )
        self.weight_penalty = _checks.rate(name, "weight_penalty", weight_penalty)
        self.seed = seed

    def fit(self, x, y):
        """Learn from x, float array (n, d), and y, int array (n,), classes 0 to c - 1. Returns self, started afresh."""
        classes, size = _check_classes("SoftmaxRegression.fit", x, y), self.batch_size or len(x)
        self.weights, self.bias = np.zeros((x.shape[1], classes), x.dtype), np.zeros(classes, x.dtype)
        self.losses, self.mistakes = [], []
        for order in _orders(len(x), self.epochs, self.seed):
            batches = [order[first : first + size] for first in range(0, len(x), size)]
            losses, mistakes = zip(*(self._step(x[batch], y[batch]) for batch in batches), strict=True)
            self.losses.append(float(np.mean(losses)))
            self.mistakes.append(int(sum(mistakes)))
        return self

    def _step(self, x, y):
        """Forward, backward, update; returns the loss and the number of mistakes before the update."""
        scores, dense_cache = dense_forward(x, self.weights, self.bias)
        loss, loss_cache = softmax_cross_entropy_forward(scores, y)
        loss += self.weight_penalty / 2 * (self.weights**2).sum()
        dscores = softmax_cross_entropy_backward(1.0, loss_cache)  # (h - t) / n
        _, dweights, dbias = dense_backward(dscores, dense_cache)
        self.weights -= self.learning_rate * (dweights + self.weight_penalty * self.weights)
        self.bias -= self.learning_rate * dbias
        return loss, (scores.argmax(axis=1) != y).sum()

    def predict_proba(self, x):
        """Return the probability of each class, float array (n, c), rows summing to 1."""
        return softmax(self.scores(x))


def _orders(n, epochs, seed):
    """Yield the order of the images in each epoch."""
    rng = None if seed is None else np.random.default_rng(seed)
    for _ in range(epochs):
        yield range(n) if rng is None else rng.permutation(n)


def _check_training(function, x, y):
    check_rows(function, x)
    _checks.floating(function, x=x)
    if len(x) == 0:
        raise _checks.argument_error(
            function, "there is nothing to learn from", "Pass at least one row", **{"x.shape": x.shape}
        )
    _checks.finite(function, x=x)
    _checks.rank(function, "y", y, "(n,)")
    if len(y) != len(x):
        raise _checks.argument_error(
            function, "there must be one label for each row of `x`", f"Pass {len(x)} labels",
            **{"len(x)": len(x), "len(y)": len(y)},
        )  # fmt: skip


def _check_signs(function, x, y):
    """Return y in the dtype of x, so that float32 weights stay float32."""
    _check_training(function, x, y)
    if not np.isin(y, (-1, 1)).all():
        remedy = "Pass -1 for one class and +1 for the other, for example np.where(y == y[0], 1, -1)"
        if np.isin(y, (0, 1)).all():
            remedy = "A label of 0 would add 0 times the image: class 0 would never be corrected. Relabel: 2 * y - 1"
            if y.dtype.kind == "u":
                remedy = remedy.replace("* y", "* y.astype(int)")
        raise _checks.argument_error(
            function, "labels must be -1 or +1", remedy, **{"np.unique(y)": np.unique(y)[:5].tolist()}
        )
    return y.astype(x.dtype)


def _check_classes(function, x, y):
    """Return the number of classes: one more than the largest label."""
    _check_training(function, x, y)
    _checks.labels(function, "y", y, len(x))
    return int(y.max()) + 1
