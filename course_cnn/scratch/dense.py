"""The dense layer, also called fully connected or linear: every output looks at every input."""

from course_cnn import _checks
from course_cnn.scratch._patches import check_dy


def dense_forward(x, kernel, bias=None):
    """Weigh and add up all inputs, once for each output: y = x @ kernel + bias.

    Column j of the kernel is what output j looks for: y[i, j] is the dot product of row i of x with that column, plus
    bias[j].

    Args:
        x: float array (n, d_in), any value range. Images are laid out flat first: `x.reshape(len(x), -1)`.
        kernel: float array (d_in, d_out), dtype of x.
        bias: float array (d_out,), or None for none.

    Returns:
        (y, cache): float array (n, d_out), dtype of x, and what `dense_backward` needs. The cache refers to `x` and
        `kernel`: do not change them in place before the backward pass.

    Raises:
        ValueError: ranks, dtypes or numbers of inputs do not match.

    Example:
        >>> x, kernel = np.array([[1.0, 2.0]]), np.array([[3.0, 0.0, 1.0], [4.0, 1.0, 0.0]])
        >>> y, cache = dense_forward(x, kernel, np.array([0.0, 0.0, 5.0]))
        >>> y
        array([[11., 2., 6.]])

    Same numbers as `keras.layers.Dense`. Source: Goodfellow et al., "Deep Learning", 2016, section 6.1.
    """
    name = "dense_forward"
    check_rows(name, x)
    _checks.rank(name, "kernel", kernel, "(d_in, d_out)")
    _checks.floating(name, x=x, kernel=kernel)
    if x.shape[1] != kernel.shape[0]:
        raise _checks.argument_error(
            name, f"`x` has {x.shape[1]} numbers in each row but `kernel` expects {kernel.shape[0]}",
            f"Kernel axes are (d_in, d_out); here d_in must be {x.shape[1]}",
            **{"x.shape": tuple(x.shape), "kernel.shape": tuple(kernel.shape)},
        )  # fmt: skip
    y = x @ kernel
    if bias is not None:
        _checks.bias(name, bias, kernel.shape[1], x.dtype)
        y += bias
    return y, (x, kernel)


def dense_backward(dy, cache):
    """Send the gradient back: to the inputs along the same weights, to a weight as (its input) * (its output's dy).

    Args:
        dy: float array (n, d_out), gradient of the loss by `y`.
        cache: what `dense_forward` returned beside `y`.

    Returns:
        (dx, dkernel, dbias), the shapes of x, kernel and bias; dkernel and dbias are summed over the batch.

    Raises:
        ValueError: dy has not the shape of y.

    Example:
        >>> y, cache = dense_forward(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
        >>> dx, dkernel, dbias = dense_backward(np.array([[10.0]]), cache)
        >>> dx
        array([[30., 40.]])
        >>> dkernel.ravel()
        array([10., 20.])
    """
    x, kernel = cache
    check_dy("dense_backward", dy, (x.shape[0], kernel.shape[1]))
    return dy @ kernel.T, x.T @ dy, dy.sum(axis=0)


def check_rows(function, x):
    """Raise unless x is a batch of rows (n, d): images have to be laid out flat by whoever calls."""
    if len(getattr(x, "shape", ())) > 2:
        raise _checks.argument_error(
            function, "`x` must have 2 axes (n, d), one row per image", "Lay images out flat: x.reshape(len(x), -1)",
            **{"x.shape": tuple(x.shape)},
        )  # fmt: skip
    _checks.rank(function, "x", x, "(n, d)")
