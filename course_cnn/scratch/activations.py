"""Layers that look at one number at a time: ReLU, sigmoid, tanh, and the bias added to each feature map."""

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


def sigmoid_forward(x):
    """Squash any number into 0 to 1: y = 1 / (1 + exp(-x)).

    exp(-x) overflows for very negative x, so we only ever take exp of a negative number: for x < 0 the same fraction,
    top and bottom times exp(x), is exp(x) / (1 + exp(x)).

    Args:
        x: float array of any shape and value range.

    Returns:
        (y, cache): float array like x, in [0, 1], and what `sigmoid_backward` needs. On paper y never reaches 0 or 1;
        in float32 it is exactly 1 from x = 17 on.

    Raises:
        ValueError: x does not hold floating-point numbers.

    Example:
        >>> sigmoid_forward(np.array([-1000.0, 0.0, 1000.0]))[0]
        array([0. , 0.5, 1. ])

    Source: Goodfellow et al., "Deep Learning", 2016, section 3.10.
    """
    _checks.floating("sigmoid_forward", x=x)
    small = np.exp(-np.abs(x))
    y = np.where(x < 0, small, 1) / (1 + small)
    return y, y


def sigmoid_backward(dy, cache):
    """Multiply by the slope, y (1 - y): 1/4 at x = 0 and nothing far out, where the sigmoid is flat.

    Args:
        dy: float array, gradient of the loss by `y`.
        cache: what `sigmoid_forward` returned beside `y`.

    Returns:
        dx, the shape of x.

    Example:
        >>> y, cache = sigmoid_forward(np.array([-1000.0, 0.0, 1000.0]))
        >>> sigmoid_backward(np.ones(3), cache)
        array([0. , 0.25, 0. ])
    """
    check_dy("sigmoid_backward", dy, cache.shape)
    return dy * cache * (1 - cache)


def tanh_forward(x):
    """Squash any number into -1 to 1: y = tanh(x), a sigmoid stretched to both signs: 2 sigmoid(2 x) - 1.

    Args:
        x: float array of any shape and value range.

    Returns:
        (y, cache): float array like x, in [-1, 1], and what `tanh_backward` needs.

    Raises:
        ValueError: x does not hold floating-point numbers.

    Example:
        >>> tanh_forward(np.array([-1000.0, 0.0, 1000.0]))[0]
        array([-1., 0., 1.])

    Source: LeCun, Bottou, Orr & Müller, "Efficient backprop", 1998, section 4.4.
    """
    _checks.floating("tanh_forward", x=x)
    y = np.tanh(x)
    return y, y


def tanh_backward(dy, cache):
    """Multiply by the slope, 1 - y²: 1 at x = 0 and nothing far out.

    Args:
        dy: float array, gradient of the loss by `y`.
        cache: what `tanh_forward` returned beside `y`.

    Returns:
        dx, the shape of x.

    Example:
        >>> y, cache = tanh_forward(np.array([-1000.0, 0.0, 1000.0]))
        >>> tanh_backward(np.ones(3), cache)
        array([0., 1., 0.])
    """
    check_dy("tanh_backward", dy, cache.shape)
    return dy * (1 - cache**2)


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
