"""Pooling: keep one number per window and channel. No parameters to learn.

Zeros at the border are never pooled: a maximum ignores them, an average divides by the real pixels, as in TensorFlow.
"""

from typing import NamedTuple

import numpy as np

from course_cnn import _checks, shapes
from course_cnn.scratch._patches import check_dy, pad, patches


class PoolCache(NamedTuple):
    """What the backward passes need: the axes, the shapes, and who won (max) or how many shared (average)."""

    axes: list
    x_shape: tuple
    y_shape: tuple
    shares: np.ndarray


def max_pool2d_forward(x, pool_size=2, *, stride=None, padding=0):
    """Keep the largest number of each window.

    Args:
        x: float array (n, h, w, c), any value range.
        pool_size: int >= 1, window height and width in pixels; or one int per axis.
        stride: int >= 1, or one int per axis; None for windows that touch but do not overlap.
        padding: as in `conv2d_forward`; pixels that the padding adds are never the largest.

    Returns:
        (y, cache): float array (n, out_h, out_w, c), and what `max_pool2d_backward` needs.

    Raises:
        ValueError: x has the wrong rank or dtype, the window does not fit, or a window would hold padding alone.

    Example:
        >>> x = np.array([[1., 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
        >>> y, cache = max_pool2d_forward(x[None, :, :, None])
        >>> y[0, :, :, 0]
        array([[6., 8.],
               [3., 4.]])

    Same numbers as `tf.nn.max_pool2d`. Source: Ranzato et al., "Unsupervised learning of invariant feature
    hierarchies", 2007.
    """
    axes = _check("max_pool2d_forward", x, pool_size, stride, padding)
    windows = _windows(pad(x, axes, value=-np.inf), axes)
    winner = windows.argmax(axis=3)  # the first of equals, reading left to right and top to bottom
    y = np.take_along_axis(windows, winner[..., None, :], axis=3)[..., 0, :]
    return y, PoolCache(axes, x.shape, y.shape, winner)


def max_pool2d_backward(dy, cache):
    """Send each gradient to the pixel that was the largest of its window; of equals, to the first.

    Args:
        dy: float array (n, out_h, out_w, c), gradient of the loss by `y`.
        cache: what `max_pool2d_forward` returned beside `y`.

    Returns:
        dx, float array (n, h, w, c).

    Example:
        >>> y, cache = max_pool2d_forward(np.array([[1.0, 5.0], [2.0, 3.0]])[None, :, :, None])
        >>> max_pool2d_backward(np.ones_like(y), cache)[0, :, :, 0]
        array([[0., 1.],
               [0., 0.]])
    """
    check_dy("max_pool2d_backward", dy, cache.y_shape)
    return _scatter(dy, cache, lambda tap: dy * (cache.shares == tap))


def avg_pool2d_forward(x, pool_size=2, *, stride=None, padding=0):
    """Average each window over the real pixels in it.

    Args: as for `max_pool2d_forward`.

    Returns:
        (y, cache): float array (n, out_h, out_w, c), and what `avg_pool2d_backward` needs.

    Raises:
        ValueError: as for `max_pool2d_forward`.

    Example:
        >>> x = np.array([[1., 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
        >>> avg_pool2d_forward(x[None, :, :, None])[0][0, :, :, 0]
        array([[3.25, 5.25],
               [2.  , 2.  ]])

    Same numbers as `tf.nn.avg_pool2d`. Source: LeCun et al., "Gradient-based learning applied to document
    recognition", 1998, section II (its subsampling layers average, then scale and shift).
    """
    axes = _check("avg_pool2d_forward", x, pool_size, stride, padding)
    inside = np.ones((1, *x.shape[1:3], 1), x.dtype)
    shares = 1 / _windows(pad(inside, axes), axes).sum(axis=3)  # (1, out_h, out_w, 1): one over the real pixels
    y = _windows(pad(x, axes), axes).sum(axis=3) * shares
    return y, PoolCache(axes, x.shape, y.shape, shares)


def avg_pool2d_backward(dy, cache):
    """Send each gradient in equal shares to the pixels of its window.

    Args:
        dy: float array (n, out_h, out_w, c), gradient of the loss by `y`.
        cache: what `avg_pool2d_forward` returned beside `y`.

    Returns:
        dx, float array (n, h, w, c).

    Example:
        >>> y, cache = avg_pool2d_forward(np.ones((1, 2, 2, 1)))
        >>> avg_pool2d_backward(np.ones_like(y), cache)[0, :, :, 0]
        array([[0.25, 0.25],
               [0.25, 0.25]])
    """
    check_dy("avg_pool2d_backward", dy, cache.y_shape)
    return _scatter(dy, cache, lambda tap: dy * cache.shares)


def _check(function, x, pool_size, stride, padding):
    """Check what both forward passes share and return one `shapes.Window` per axis."""
    _checks.rank(function, "x", x, "(n, h, w, c)")
    _checks.floating(function, x=x)
    return shapes.pool_windows(x.shape[1:3], pool_size, stride=stride, padding=padding, function=function)


def _windows(x_padded, axes):
    """Gather the windows as (n, out_h, out_w, taps, c), a copy."""
    view = patches(x_padded, axes)
    n, out_h, out_w, kh, kw, c = view.shape
    return view.reshape(n, out_h, out_w, kh * kw, c)


def _scatter(dy, cache, share):
    """Add `share(tap)` of every gradient to the pixel under that tap, tap after tap, and cut the padding off again."""
    rows, columns = cache.axes
    n, h, w, c = cache.x_shape
    dx = np.zeros((n, rows.before + h + rows.after, columns.before + w + columns.after, c), dy.dtype)
    for tap, (u, v) in enumerate(np.ndindex(rows.taps, columns.taps)):
        under_u = slice(u, u + rows.stride * (rows.out - 1) + 1, rows.stride)
        under_v = slice(v, v + columns.stride * (columns.out - 1) + 1, columns.stride)
        dx[:, under_u, under_v] += share(tap)
    return dx[:, rows.before : rows.before + h, columns.before : columns.before + w]
