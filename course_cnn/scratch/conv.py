"""Convolution layers: the readable definition, and the same numbers as matrix products over patches.

What deep-learning libraries call convolution does not flip the kernel; mathematicians call it cross-correlation.
`course_cnn.scratch.signal` has both forms side by side.
"""

from typing import NamedTuple

import numpy as np

from course_cnn import _checks, shapes
from course_cnn.scratch._patches import check_dy, in_batches, meetings, pad, patches


class ConvCache(NamedTuple):
    """What `conv2d_backward` needs to know of the forward pass."""

    x: np.ndarray
    kernel: np.ndarray
    axes: list
    y_shape: tuple


def conv2d_loops(x, kernel, bias=None, *, stride=1):
    """Convolve by the definition: seven nested loops, no padding. For reading; thousands of times too slow to use.

    Args:
        x: float array (n, h, w, c_in), any value range.
        kernel: float array (kh, kw, c_in, filters).
        bias: float array (filters,), or None for none.
        stride: int >= 1, pixels, the same along h and w.

    Returns:
        float array (n, out_h, out_w, filters), dtype of x; out_h = floor((h - kh) / stride) + 1.

    Raises:
        ValueError: ranks, dtypes or channels do not match, or the kernel does not fit.

    Example:
        >>> conv2d_loops(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)))[0, :, :, 0]
        array([[4., 4.],
               [4., 4.]])

    Source: Goodfellow, Bengio & Courville, "Deep Learning", 2016, equation 9.6.
    """
    axes = _check("conv2d_loops", x, kernel, bias, stride, 0, 1)
    n, (out_h, out_w), (kh, kw, c_in, filters) = len(x), (axis.out for axis in axes), kernel.shape
    y = np.zeros((n, out_h, out_w, filters), x.dtype)
    for image in range(n):
        for i in range(out_h):
            for j in range(out_w):
                for f in range(filters):
                    for u in range(kh):
                        for v in range(kw):
                            for c in range(c_in):
                                pixel = x[image, i * stride + u, j * stride + v, c]
                                y[image, i, j, f] += pixel * kernel[u, v, c, f]
    return y if bias is None else y + bias


def conv2d_forward(x, kernel, bias=None, *, stride=1, padding=0, dilation=1):
    """Convolve a batch of images with a bank of kernels (cross-correlation: the kernel is not flipped).

    Every output pixel is a dot product of one patch with the kernel, so many of them together are a matrix product.
    We lay the patches out along w only, one pixel high: (h, out_w, kw * c_in). Each row u of the kernel is a matrix
    (kw * c_in, filters); their products, added up over u, are the output. That copies every pixel kw times where whole
    patches would copy it kh * kw times.

    Args:
        x: float array (n, h, w, c_in), any value range.
        kernel: float array (kh, kw, c_in, filters), dtype of x.
        bias: float array (filters,), or None for none.
        stride, dilation: int >= 1, pixels; or one int per axis (h, w).
        padding: int >= 0 on every side; (before, after) on both axes; ((top, bottom), (left, right)); or "valid",
            "same", "full", "causal" as in `shapes.output_size`.

    Returns:
        (y, cache): float array (n, out_h, out_w, filters), dtype of x, and what `conv2d_backward` needs. The cache
        refers to `x` and `kernel`: do not change them in place before the backward pass.

    Raises:
        ValueError: ranks, dtypes or channels do not match, or the kernel does not fit.

    Example:
        >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
        >>> y, cache = conv2d_forward(x, np.ones((3, 3, 1, 1)), padding="same")
        >>> y[0, :, :, 0]
        array([[ 8., 15., 12.],
               [21., 36., 27.],
               [20., 33., 24.]])

    Same numbers as `tf.nn.conv2d(x, filters=kernel, strides=stride, padding=…)`.
    Source: Chellapilla, Puri & Simard, "High performance convolutional neural networks for document processing", 2006.
    """
    axes = _check("conv2d_forward", x, kernel, bias, stride, padding, dilation)
    rows, columns = axes
    (n, h, _, _), (kh, kw, c_in, filters) = x.shape, kernel.shape
    kernel_rows = kernel.reshape(kh, kw * c_in, filters)
    y = np.zeros((n, rows.out, columns.out, filters), x.dtype)
    if bias is not None:
        y += bias

    def convolve(images):
        strips = _strips(x[images], columns)
        for kernel_row, (pixels, outputs) in zip(kernel_rows, meetings(rows), strict=True):
            y[images, outputs] += strips[:, pixels] @ kernel_row

    in_batches(convolve, n, h * columns.out * kw * c_in * x.itemsize)
    return y, ConvCache(x, kernel, axes, y.shape)


def conv2d_backward(dy, cache):
    """Send the gradient of the loss back through `conv2d_forward`.

    Each kernel weight met one pixel per output position: its gradient sums pixel * dy over all of them, which is
    patches transposed times dy. Each pixel met one weight per output it took part in: its gradient sums weight * dy
    over those, which is dy times the kernel transposed. Forward laid x out along w; here dy is laid out along h, to
    stand beside every pixel row it came from: (h, out_w, kh * filters).

    Args:
        dy: float array (n, out_h, out_w, filters), gradient of the loss by `y`.
        cache: what `conv2d_forward` returned beside `y`.

    Returns:
        (dx, dkernel, dbias) with the shapes of x, kernel and bias; dbias comes out even where no bias was used.

    Raises:
        ValueError: `dy` has not the shape and dtype of `y`.

    Example:
        >>> y, cache = conv2d_forward(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)))
        >>> dx, dkernel, dbias = conv2d_backward(np.ones_like(y), cache)
        >>> dx[0, :, :, 0]                         # how many windows each pixel was in
        array([[1., 2., 1.],
               [2., 4., 2.],
               [1., 2., 1.]])

    Source: Goodfellow, Bengio & Courville, "Deep Learning", 2016, equations 9.11 and 9.13.
    """
    check_dy("conv2d_backward", dy, cache.y_shape)
    _checks.floating("conv2d_backward", kernel=cache.kernel, dy=dy)
    x, kernel, (rows, columns), _ = cache
    (n, h, _, _), (kh, kw, c_in, filters) = x.shape, kernel.shape
    kernel_columns = kernel.transpose(1, 0, 3, 2).reshape(kw, kh * filters, c_in)
    dx = np.zeros(x.shape, x.dtype)

    def gradients(images):
        spread = np.zeros((len(x[images]), h, columns.out, kh, filters), dy.dtype)
        for u, (pixels, outputs) in enumerate(meetings(rows)):
            spread[:, pixels, :, u] = dy[images, outputs]
        spread = spread.reshape(*spread.shape[:3], kh * filters)
        for kernel_column, (pixels, outputs) in zip(kernel_columns, meetings(columns), strict=True):
            dx[images, :, pixels] += spread[:, :, outputs] @ kernel_column
        strips = _strips(x[images], columns)
        dkernel = strips.reshape(-1, kw * c_in).T @ spread.reshape(-1, kh * filters)
        dbias = dy[images].sum(axis=(0, 1)).sum(axis=0)  # in two steps: long rows add up faster than short ones
        return dkernel.reshape(kw, c_in, kh, filters).transpose(2, 0, 1, 3), dbias

    parts = in_batches(gradients, n, h * columns.out * max(kw * c_in, kh * filters) * x.itemsize)
    return dx, *map(sum, zip(*parts, strict=True))


def _strips(x, columns):
    """Copy the patches of a batch that are one pixel high and as wide as the kernel: (n, h, out_w, kw * c)."""
    axes = shapes.window(x.shape[1], 1), columns
    strips = patches(pad(x, axes), axes).reshape(*x.shape[:2], columns.out, columns.taps * x.shape[3])
    return np.ascontiguousarray(strips)  # rows that overlap in memory are nothing BLAS could multiply


def conv1d_forward(x, kernel, bias=None, *, stride=1, padding=0, dilation=1):
    """Convolve a batch of sequences: `conv2d_forward` on images one pixel high.

    Args:
        x: float array (n, steps, c_in).
        kernel: float array (k, c_in, filters), dtype of x.
        bias, stride, padding, dilation: as in `conv2d_forward`, along the one axis.

    Returns:
        (y, cache): float array (n, out_steps, filters), and what `conv1d_backward` needs.

    Raises:
        ValueError: ranks, dtypes or channels do not match, or the kernel does not fit.

    Example:
        >>> y, cache = conv1d_forward(np.arange(5.0)[None, :, None], np.array([-1.0, 0.0, 1.0])[:, None, None])
        >>> y[0, :, 0]
        array([2., 2., 2.])

    Source: van den Oord et al., "WaveNet", 2016 (causal and dilated 1-D convolution).
    """
    _check("conv1d_forward", x, kernel, bias, stride, padding, dilation)
    y, cache = conv2d_forward(
        x[:, None], kernel[None], bias, stride=(1, stride), padding=((0, 0), padding), dilation=(1, dilation)
    )
    return y[:, 0], cache


def conv1d_backward(dy, cache):
    """Send the gradient of the loss back through `conv1d_forward`.

    Args:
        dy: float array (n, out_steps, filters).
        cache: what `conv1d_forward` returned beside `y`.

    Returns:
        (dx, dkernel, dbias), the shapes of x, kernel and bias.

    Example:
        >>> y, cache = conv1d_forward(np.ones((1, 4, 1)), np.ones((2, 1, 1)))
        >>> conv1d_backward(np.ones_like(y), cache)[0][0, :, 0]
        array([1., 2., 2., 1.])
    """
    dx, dkernel, dbias = conv2d_backward(dy[:, None], cache)
    return dx[:, 0], dkernel[0], dbias


def _check(function, x, kernel, bias, stride, padding, dilation):
    """Check what all forward passes share and return one `shapes.Window` per axis."""
    two_d = "1d" not in function
    _checks.rank(function, "x", x, "(n, h, w, c)" if two_d else "(n, steps, c)")
    _checks.rank(function, "kernel", kernel, "(kh, kw, c_in, filters)" if two_d else "(k, c_in, filters)")
    _checks.channels(function, x, kernel)
    _checks.floating(function, x=x, kernel=kernel)
    if bias is not None:
        _checks.bias(function, bias, kernel.shape[-1], kernel.dtype)
    return shapes.windows(
        x.shape[1:-1], kernel.shape[:-2], stride=stride, padding=padding, dilation=dilation, function=function
    )
