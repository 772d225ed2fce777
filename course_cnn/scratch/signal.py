"""One signal, one kernel: cross-correlation as the layers compute it, and textbook convolution, which flips first.

These take plain rows (n,) and pictures (h, w) and are for looking; the layers of `course_cnn.scratch.conv` take batches
and channels and run on the same numbers.
"""

import numpy as np

from course_cnn import _checks
from course_cnn.scratch.conv import conv1d_forward, conv2d_forward


def flip(kernel):
    """Turn a kernel (k,) or (kh, kw) back to front along every axis: a 2-D kernel is rotated by 180 degrees.

    Example:
        >>> flip([1, 2, 3])
        array([3, 2, 1])
    """
    return np.flip(np.asarray(kernel))


def correlate1d(x, kernel, *, stride=1, padding="valid", dilation=1):
    """Cross-correlate two rows: y[t] = sum over m of x[t + m] * kernel[m]. What libraries call convolution.

    Args:
        x: numbers (n,), any value range.
        kernel: numbers (k,).
        stride, padding, dilation: as in `shapes.output_size`.

    Returns:
        float64 array (out,).

    Raises:
        ValueError: not one axis each, or the kernel does not fit.

    Example:
        >>> correlate1d([0, 0, 1, 1, 1], [-1, 0, 1])
        array([1., 1., 0.])

    Same numbers as `np.correlate(x, kernel, "valid")`.
    """
    x, kernel = _plain("correlate1d", x, kernel, "(n,)", "(k,)")
    y, _ = conv1d_forward(x[None, :, None], kernel[:, None, None], stride=stride, padding=padding, dilation=dilation)
    return y[0, :, 0]


def convolve1d(x, kernel, *, padding="valid"):
    """Convolve two rows as in the textbook: y[t] = sum over m of x[t - m] * kernel[m], the kernel flipped.

    Args:
        x: numbers (n,).
        kernel: numbers (k,).
        padding: as in `shapes.output_size`; "full" is the textbook's infinite sum, with zeros beyond both ends.

    Returns:
        float64 array (out,).

    Example:
        >>> convolve1d([0, 0, 1, 1, 1], [-1, 0, 1])      # the other sign: the kernel is turned round
        array([-1., -1.,  0.])

    Same numbers as `np.convolve(x, kernel, padding)`. Source: Goodfellow et al., "Deep Learning", 2016, equation 9.3.
    """
    x, kernel = _plain("convolve1d", x, kernel, "(n,)", "(k,)")
    return correlate1d(x, flip(kernel), padding=padding)


def correlate2d(x, kernel, *, stride=1, padding="valid", dilation=1):
    """Cross-correlate a grey picture with one kernel: y[i, j] = sum over u, v of x[i + u, j + v] * kernel[u, v].

    Args:
        x: numbers (h, w), any value range.
        kernel: numbers (kh, kw).
        stride, padding, dilation: as in `conv2d_forward`.

    Returns:
        float64 array (out_h, out_w).

    Raises:
        ValueError: not two axes each, or the kernel does not fit.

    Example:
        >>> correlate2d([[0, 0, 1, 1]] * 3, [[-1, 0, 1]] * 3)        # dark to bright, three rows of it
        array([[3., 3.]])

    Same numbers as `scipy.signal.correlate2d(x, kernel, "valid")`.
    """
    x, kernel = _plain("correlate2d", x, kernel, "(h, w)", "(kh, kw)")
    y, _ = conv2d_forward(
        x[None, :, :, None], kernel[:, :, None, None], stride=stride, padding=padding, dilation=dilation
    )
    return y[0, :, :, 0]


def convolve2d(x, kernel, *, padding="valid"):
    """Convolve a grey picture with one kernel as in the textbook: the kernel is flipped along both axes first.

    Args:
        x: numbers (h, w).
        kernel: numbers (kh, kw).
        padding: as in `conv2d_forward`.

    Returns:
        float64 array (out_h, out_w).

    Example:
        >>> convolve2d([[0, 0, 1, 1]] * 3, [[-1, 0, 1]] * 3)
        array([[-3., -3.]])

    Same numbers as `scipy.signal.convolve2d(x, kernel, "valid")`.
    Source: Goodfellow et al., "Deep Learning", 2016, equation 9.5.
    """
    x, kernel = _plain("convolve2d", x, kernel, "(h, w)", "(kh, kw)")
    return correlate2d(x, flip(kernel), padding=padding)


def _plain(function, x, kernel, x_axes, kernel_axes):
    x, kernel = np.asarray(x, dtype=np.float64), np.asarray(kernel, dtype=np.float64)
    _checks.rank(function, "x", x, x_axes)
    _checks.rank(function, "kernel", kernel, kernel_axes)
    return x, kernel
