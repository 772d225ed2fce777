"""Batch normalisation: each channel brought to mean 0 and variance 1, then scaled and shifted by learned numbers."""

from typing import NamedTuple

import numpy as np

from course_cnn import _checks
from course_cnn.scratch._patches import check_dy


class BatchNormCache(NamedTuple):
    """What `batch_norm_backward` needs, and the statistics to hand on to the next call; each (c,) but `normalised`."""

    normalised: np.ndarray  # x with mean 0 and variance 1, before gamma and beta; the shape of x
    std: np.ndarray  # what x - mean was divided by: sqrt(variance + epsilon)
    gamma: np.ndarray
    training: bool
    mean: np.ndarray  # what was used: of this batch in training, the moving one at inference
    variance: np.ndarray
    moving_mean: np.ndarray  # updated in training
    moving_variance: np.ndarray


def batch_norm_forward(
    x, gamma, beta, moving_mean=None, moving_variance=None, *, training=True, momentum=0.99, epsilon=1e-3
):
    """Bring each channel to mean 0 and variance 1, then scale and shift it: y = gamma (x - mean) / std + beta.

    In training mean and variance come from the batch: over all images and all pixels, one pair per channel. At
    inference the moving averages of earlier batches stand in, so that an image's answer depends on no other image.
    With one number per channel (a batch of one in a dense network) the variance is 0 and y = beta, whatever x is:
    such a batch teaches the layers below nothing, since dx = 0. Keras does the same.

    Args:
        x: float array (n, c) or (n, h, w, c), any value range.
        gamma: float array (c,), dtype of x: the standard deviation of y. Starts at 1 in a new layer.
        beta: float array (c,), dtype of x: the mean of y. Starts at 0.
        moving_mean, moving_variance: float arrays (c,), dtype of x, `cache.moving_mean` and `cache.moving_variance` of
            the call before; variance >= 0. None (both) for the first training call: they start at 0 and 1, as in Keras.
        training: bool, whether the batch's own statistics are used and the moving ones updated.
        momentum: float in [0, 1), share of the old moving statistics that is kept per batch.
        epsilon: float > 0, added to the variance under the root; it keeps a constant channel from 0 / 0.

    Returns:
        (y, cache): float array like x, and what `batch_norm_backward` needs. The updated statistics are new arrays in
        the cache. Their variance is the biased one, divided by the count and not by the count minus 1, as in Keras 3.

    Raises:
        ValueError: shapes or dtypes disagree, a number is out of its range, the batch is empty, or statistics are
            missing at inference.

    Example:
        >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
        >>> y, cache = batch_norm_forward(x, gamma=np.ones(2), beta=np.zeros(2), epsilon=1e-9)
        >>> y.round(6)
        array([[-1., -1.],
               [ 1.,  1.]])
        >>> cache.moving_mean                     # 0.99 * 0 + 0.01 * batch mean
        array([0.02, 0.2 ])

    Source: Ioffe & Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015, algorithms 1 and 2, and section 3.2 for images.
    """
    function = "batch_norm_forward"
    if len(getattr(x, "shape", ())) != 2:
        _checks.rank(function, "x", x, "(n, h, w, c)")
    _checks.floating(function, x=x)
    if not x.size:
        raise _checks.argument_error(
            function, "the batch must hold at least one number per channel", "Leave out empty batches",
            **{"x.shape": x.shape},
        )  # fmt: skip
    moving_mean, moving_variance = _moving(function, x, moving_mean, moving_variance, training)
    per_channel = dict(gamma=gamma, beta=beta, moving_mean=moving_mean, moving_variance=moving_variance)
    _checks.per_channel(function, x.shape[-1], x.dtype, **per_channel)
    if moving_variance.min() < 0:
        raise _checks.argument_error(
            function, "a variance cannot be negative", "Start from np.ones, or check which array was passed",
            **{"moving_variance.min()": float(moving_variance.min())},
        )  # fmt: skip
    momentum = _checks.rate(function, "momentum", momentum)
    epsilon = _checks.positive(function, "epsilon", epsilon, example=0.001)

    if training:
        axes = tuple(range(x.ndim - 1))  # all but the channels; long sums are kept in float64
        mean = x.mean(axes, dtype="float64").astype(x.dtype)
        variance = np.square(x - mean).mean(axes, dtype="float64").astype(x.dtype)
        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_variance = momentum * moving_variance + (1 - momentum) * variance
    else:
        mean, variance = moving_mean, moving_variance
    std = np.sqrt(variance + epsilon)
    normalised = (x - mean) / std
    cache = BatchNormCache(normalised, std, gamma, bool(training), mean, variance, moving_mean, moving_variance)
    return gamma * normalised + beta, cache


def batch_norm_backward(dy, cache):
    """Send the gradient back, in training through mean and variance too: each x moves every y of its channel.

    Training subtracts from dy two things the normalisation would undo anyway, its mean and its part along the
    normalised x. So the dx of a channel sum to 0: shifting all of them changes nothing.

    Args:
        dy: float array, gradient of the loss by `y`.
        cache: what `batch_norm_forward` returned beside `y`. The moving statistics have no gradient.

    Returns:
        (dx, dgamma, dbeta), the shapes of x, gamma and beta.

    Raises:
        ValueError: dy does not have the shape of y.

    Example:
        >>> x = np.array([[1.0], [3.0], [8.0]])
        >>> y, cache = batch_norm_forward(x, np.ones(1), np.zeros(1))
        >>> dx, dgamma, dbeta = batch_norm_backward(np.array([[1.0], [0.0], [0.0]]), cache)
        >>> bool(abs(dx.sum()) < 1e-12), dbeta
        (True, array([1.]))

    Source: Ioffe & Szegedy, 2015, section 3 (the six partial derivatives, here put together).
    """
    check_dy("batch_norm_backward", dy, cache.normalised.shape)
    axes = tuple(range(dy.ndim - 1))
    dbeta = dy.sum(axes)
    dgamma = (dy * cache.normalised).sum(axes)
    dx = dy
    if cache.training:
        count = dy.size // dy.shape[-1]
        dx = dy - dbeta / count - cache.normalised * dgamma / count
    return cache.gamma / cache.std * dx, dgamma, dbeta


def _moving(function, x, mean, variance, training):
    """Return the moving statistics: the ones given, or those of a new layer."""
    if mean is None and variance is None and training:
        return np.zeros(x.shape[-1], x.dtype), np.ones(x.shape[-1], x.dtype)
    if mean is None or variance is None:
        raise _checks.argument_error(
            function,
            "training needs both moving statistics or neither" if training
            else "inference needs the moving statistics of a training run",
            "Pass cache.moving_mean and cache.moving_variance of the last training call",
            moving_mean="given" if mean is not None else None,
            moving_variance="given" if variance is not None else None,
        )  # fmt: skip
    return mean, variance
