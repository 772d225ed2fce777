"""Dropout: switch units off at random while training, so that no unit can lean on one particular other.

The two usages differ only in where the scaling is done: inverted dropout scales up while training and leaves inference
alone; the original paper's leaves training alone and scales down at inference. Either way a unit's mean output is the
same in both.
"""

from typing import NamedTuple

import numpy as np

from course_cnn import _checks
from course_cnn.scratch._patches import check_dy


class DropoutCache(NamedTuple):
    """What the backward pass needs: the shape of y, and the number that each unit (or every unit) was multiplied by."""

    shape: tuple
    factor: np.ndarray


def dropout_forward(x, rate, *, training=True, inverted=True, rng=None):
    """Multiply each number by 0 with probability `rate`, drawn anew for each; at inference, drop nothing.

    |          | training: dropped, kept | inference  |
    |----------|-------------------------|------------|
    | inverted | 0, x / (1 - rate)       | x          |
    | plain    | 0, x                    | x (1-rate) |

    Args:
        x: float array of any shape and value range.
        rate: float in [0, 1), the probability of being dropped. (The paper's p is the probability of being KEPT.)
        training: bool, False at inference.
        inverted: bool, True for the scaling that Keras and TensorFlow use, False for the original paper's.
        rng: `np.random.Generator`, which is advanced; or an int seed >= 0, the same mask every time; or None, a fresh
            mask every time. Not used at inference.

    Returns:
        (y, cache): float array like x, and what `dropout_backward` needs.

    Raises:
        ValueError: `rate` is outside [0, 1), x does not hold floating-point numbers, or `rng` is something else.

    Example:
        >>> dropout_forward(np.ones(6), 0.5, rng=0)[0]
        array([2., 0., 0., 0., 2., 2.])
        >>> dropout_forward(np.ones(6), 0.5, rng=0, inverted=False)[0]
        array([1., 0., 0., 0., 1., 1.])
        >>> dropout_forward(np.ones(6), 0.5, training=False)[0]
        array([1., 1., 1., 1., 1., 1.])

    Same as `keras.layers.Dropout(rate)` when inverted, with another mask. Source: Srivastava et al., "Dropout: a simple
    way to prevent neural networks from overfitting", JMLR 2014, sections 4 (plain) and 10 (inverted).
    """
    rate = _checks.rate("dropout_forward", "rate", rate)
    _checks.floating("dropout_forward", x=x)
    rng = _generator("dropout_forward", rng)
    if training:
        kept = rng.random(x.shape) >= rate  # True with probability 1 - rate
        factor = kept / (1 - rate) if inverted else kept
    else:
        factor = 1.0 if inverted else 1 - rate
    factor = np.asarray(factor, x.dtype)
    return x * factor, DropoutCache(x.shape, factor)


def dropout_backward(dy, cache):
    """Send each gradient back through the factor its unit had: nothing for the dropped, the same scaling for the kept.

    Args:
        dy: float array, gradient of the loss by `y`.
        cache: what `dropout_forward` returned beside `y`.

    Returns:
        dx, the shape of x.

    Raises:
        ValueError: `dy` does not have the shape of `y`.

    Example:
        >>> y, cache = dropout_forward(np.ones(6), 0.5, rng=0)
        >>> dropout_backward(np.full(6, 10.0), cache)
        array([20.,  0.,  0.,  0., 20., 20.])
    """
    check_dy("dropout_backward", dy, cache.shape)
    return dy * cache.factor


def _generator(function, rng):
    """Return a NumPy Generator: the one given, one seeded with the int given, or a fresh one."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None and (isinstance(rng, bool) or not isinstance(rng, (int, np.integer)) or rng < 0):
        raise _checks.argument_error(
            function, "`rng` must be a np.random.Generator, an int seed >= 0 or None", "Use np.random.default_rng(0)",
            rng=rng,
        )  # fmt: skip
    return np.random.default_rng(rng)
