"""Layers that look at one number at a time: ReLU, and the bias that is added to each feature map."""

import numpy as np

from course_cnn import _checks
from course_cnn.scratch._patches import check_dy


def relu_forward(x):
    """Cut off what is negative: y = max(0, x).

    Args:
        x: float array of any shape and value range.

    Returns:
        (y, cache): float array like x, and what `relu_backward` needs.

    Raises:
        ValueError: x does not hold floating-point numbers.

    Example:
        >>> relu_forward(np.array([-2.0, 0.0, 3.0]))[0]
        array([0., 0., 3.])

    Source: Nair & Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """
    _checks.floating("relu_forward", x=x)
    return np.maximum(x, 0), x > 0


def relu_backward(dy, cache):
    """Let the gradient through where the input was positive. At exactly 0 it is 0, as in TensorFlow.

    Args:
        dy: float array, gradient of the loss by `y`.
        cache: what `relu_forward` returned beside `y`.

    Returns:
        dx, the shape of x.

    Example:
        >>> y, cache = relu_forward(np.array([-2.0, 0.0, 3.0]))
        >>> relu_backward(np.ones(3), cache)
        array([0., 0., 1.])
    """
    check_dy("relu_backward", dy, cache.shape)
    return dy * cache


def bias_add_forward(x, bias):
    """Add one number to each feature map: y[..., f] = x[..., f] + bias[f].

    Args:
        x: float array (..., filters), any value range.
        bias: float array (filters,), dtype of x.

    Returns:
        (y, cache): float array like x, and what `bias_add_backward` needs.

    Raises:
        ValueError: bias is not one number per filter.

    Example:
        >>> bias_add_forward(np.zeros((1, 2, 2)), np.array([1.0, -1.0]))[0]
        array([[[ 1., -1.],
                [ 1., -1.]]])
    """
    _checks.floating("bias_add_forward", x=x)
    _checks.bias("bias_add_forward", bias, x.shape[-1], x.dtype)
    return x + bias, x.shape


def bias_add_backward(dy, cache):
    """Send the gradient back: unchanged to x, summed over everything but the filters to the bias.

    Args:
        dy: float array (..., filters), gradient of the loss by `y`.
        cache: what `bias_add_forward` returned beside `y`.

    Returns:
        (dx, dbias), the shapes of x and bias.

    Example:
        >>> y, cache = bias_add_forward(np.zeros((1, 2, 2)), np.zeros(2))
        >>> bias_add_backward(np.ones((1, 2, 2)), cache)[1]
        array([2., 2.])
    """
    check_dy("bias_add_backward", dy, cache)
    return dy, dy.sum(axis=tuple(range(dy.ndim - 1)))
