"""The layers of a convolutional network in NumPy, forward and backward side by side. Never imports TensorFlow.

Each layer is a pair of pure functions, `y, cache = conv2d_forward(x, kernel, …)` and `conv2d_backward(dy, cache)`,
where `dy` is the gradient of the loss by `y`, and every gradient has the shape of the thing itself.
Images are channels last, (n, h, w, c).
"""

from course_cnn.scratch.activations import (
    bias_add_backward,
    bias_add_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from course_cnn.scratch.batchnorm import batch_norm_backward, batch_norm_forward
from course_cnn.scratch.conv import conv1d_backward, conv1d_forward, conv2d_backward, conv2d_forward, conv2d_loops
from course_cnn.scratch.dense import dense_backward, dense_forward
from course_cnn.scratch.dropout import dropout_backward, dropout_forward
from course_cnn.scratch.gradcheck import check_gradient, numerical_gradient
from course_cnn.scratch.graph import Value
from course_cnn.scratch.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    ReLU,
    Sigmoid,
    Tanh,
)
from course_cnn.scratch.linear import MulticlassPerceptron, Perceptron, SoftmaxRegression
from course_cnn.scratch.losses import (
    hinge_backward,
    hinge_forward,
    l2_backward,
    l2_forward,
    softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from course_cnn.scratch.network import Sequential, build_lenet5
from course_cnn.scratch.optimizers import adagrad, adam, momentum, rmsprop, sgd
from course_cnn.scratch.pool import avg_pool2d_backward, avg_pool2d_forward, max_pool2d_backward, max_pool2d_forward
from course_cnn.scratch.signal import convolve1d, convolve2d, correlate1d, correlate2d, flip

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "MaxPool2D",
    "MulticlassPerceptron",
    "Perceptron",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SoftmaxRegression",
    "Tanh",
    "Value",
    "adagrad",
    "adam",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "bias_add_backward",
    "bias_add_forward",
    "build_lenet5",
    "check_gradient",
    "conv1d_backward",
    "conv1d_forward",
    "conv2d_backward",
    "conv2d_forward",
    "conv2d_loops",
    "convolve1d",
    "convolve2d",
    "correlate1d",
    "correlate2d",
    "dense_backward",
    "dense_forward",
    "dropout_backward",
    "dropout_forward",
    "flip",
    "hinge_backward",
    "hinge_forward",
    "l2_backward",
    "l2_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "momentum",
    "numerical_gradient",
    "relu_backward",
    "relu_forward",
    "rmsprop",
    "sgd",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "tanh_backward",
    "tanh_forward",
]
