"""The layers of a convolutional network in NumPy, forward and backward side by side. Never imports TensorFlow.

Each layer is a pair of pure functions, `y, cache = conv2d_forward(x, kernel, …)` and `conv2d_backward(dy, cache)`,
where `dy` is the gradient of the loss by `y`, and every gradient has the shape of the thing itself.
Images are channels last, (n, h, w, c).
"""

from course_cnn.scratch.activations import bias_add_backward, bias_add_forward, relu_backward, relu_forward
from course_cnn.scratch.conv import (
    conv1d_backward,
    conv1d_forward,
    conv2d_backward,
    conv2d_forward,
    conv2d_loops,
)
from course_cnn.scratch.pool import avg_pool2d_backward, avg_pool2d_forward, max_pool2d_backward, max_pool2d_forward
from course_cnn.scratch.signal import convolve1d, convolve2d, correlate1d, correlate2d, flip

__all__ = [
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "bias_add_backward",
    "bias_add_forward",
    "conv1d_backward",
    "conv1d_forward",
    "conv2d_backward",
    "conv2d_forward",
    "conv2d_loops",
    "convolve1d",
    "convolve2d",
    "correlate1d",
    "correlate2d",
    "flip",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "relu_backward",
    "relu_forward",
]
