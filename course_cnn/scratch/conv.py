"""Convolution layers: the readable definition, and the same numbers as one matrix product over patches.

What deep-learning libraries call convolution does not flip the kernel; mathematicians call it cross-correlation.
`course_cnn.scratch.signal` has both forms side by side.
"""

from typing import NamedTuple

import numpy as np

from course_cnn import _checks, shapes
from course_cnn.scratch._patches import batches, check_dy, pad, patches


class ConvCache(NamedTuple):
    """What `conv2d_backward` needs to know of the forward pass."""

    x_padded: np.ndarray
    kernel: np.ndarray
    axes: list
    y_shape: tuple


def conv2d_loops(x, kernel, bias=None, *, stride=1):
    """Convolve by the definition: seven nested loops, no padding. For reading; some hundred times too slow to use.

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

    Every output pixel is a dot product of one patch with the kernel, so all of them together are one matrix product:
    patches (n * out_h * out_w, kh * kw * c_in) times kernel (kh * kw * c_in, filters).

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
    filters = kernel.shape[3]
    x_padded = pad(x, axes)
    y = np.empty((len(x), *(axis.out for axis in axes), filters), x.dtype)
    for images, rows in batches(patches(x_padded, axes)):
        np.matmul(rows, kernel.reshape(-1, filters), out=y[images].reshape(-1, filters))
    if bias is not None:
        y += bias
    return y, ConvCache(x_padded, kernel, axes, y.shape)


def conv2d_backward(dy, cache):
    """Send the gradient of the loss back through `conv2d_forward`.

    Each kernel weight met one pixel per output position: its gradient sums pixel * dy over all of them, which is
    patches transposed times dy. Each pixel met the flipped kernel: its gradient is itself a convolution of dy.

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
    kh, kw, c_in, filters = cache.kernel.shape
    dkernel = np.zeros((kh * kw * c_in, filters), dy.dtype)
    for images, rows in batches(patches(cache.x_padded, cache.axes)):
        dkernel += rows.T @ dy[images].reshape(-1, filters)
    return _input_gradient(dy, cache), dkernel.reshape(cache.kernel.shape), dy.sum(axis=(0, 1, 2))


def _input_gradient(dy, cache):
    """Convolve dy with the flipped kernel: pixel p sums dy[o] * kernel[t] over all outputs o and taps t that met on p.

    Along one axis o * stride + t * dilation = p + before. So we lay dy out `stride` pixels apart on a canvas of zeros,
    shifted so that window p of the flipped kernel covers the outputs that pixel p took part in.
    """
    rows, columns = cache.axes
    canvas = np.zeros((len(dy), rows.size + rows.span - 1, columns.size + columns.span - 1, dy.shape[3]), dy.dtype)
    (to_rows, from_rows), (to_columns, from_columns) = map(_layout, cache.axes)
    canvas[:, to_rows, to_columns] = dy[:, from_rows, from_columns]
    flipped = cache.kernel[::-1, ::-1].transpose(0, 1, 3, 2)  # and it maps filters back to input channels
    return conv2d_forward(canvas, flipped, dilation=(rows.dilation, columns.dilation))[0]


def _layout(axis):
    """Say which outputs go where on the canvas along one axis. Outputs that only ever saw zeros have no place there."""
    start = axis.span - 1 - axis.before
    end = axis.size + axis.span - 1
    first = max(0, -(start // axis.stride))  # ceil(-start / stride)
    last = min(axis.out - 1, (end - 1 - start) // axis.stride)
    return slice(start + first * axis.stride, start + last * axis.stride + 1, axis.stride), slice(first, last + 1)


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
