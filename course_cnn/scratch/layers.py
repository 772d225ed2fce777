"""The layers as objects: each is a pair of pure functions, together with what they leave to the caller.

It keeps the parameters, holds the cache between the forward and the backward pass, and knows the shape that comes out.
`scratch.Sequential` puts them in a row.
"""

import math
from abc import ABC, abstractmethod
from types import MappingProxyType

import numpy as np

from course_cnn import _checks, shapes
from course_cnn.scratch.activations import (
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from course_cnn.scratch.batchnorm import batch_norm_backward, batch_norm_forward
from course_cnn.scratch.conv import conv2d_backward, conv2d_forward
from course_cnn.scratch.dense import dense_backward, dense_forward
from course_cnn.scratch.dropout import dropout_backward, dropout_forward
from course_cnn.scratch.pool import avg_pool2d_backward, avg_pool2d_forward, max_pool2d_backward, max_pool2d_forward


class Layer(ABC):
    """What all layers share. A layer of your own needs `forward` and `backward`, and `build` if it has parameters.

    Args:
        name: str, for messages and the summary; None for the name of the class.

    Attributes:
        params, grads: lists of arrays, what is learned and, after `backward`, the gradients. state: list of arrays that
        belong to the weights but are not learned by gradients. input_shape, output_shape: without the batch axis.
    """

    def __init__(self, *, name=None):
        self.name = name or type(self).__name__
        self.params, self.grads, self.state = [], [], []
        self.input_shape = self.output_shape = None

    def build(self, shape, rng, dtype):
        """Draw the parameters for inputs of `shape` (no batch axis) and return the output shape."""
        return shape

    @abstractmethod
    def forward(self, x, training=False):
        """Return y for a batch x, and keep what `backward` needs."""

    @abstractmethod
    def backward(self, dy):
        """Set `grads` and return dx."""

    def __repr__(self):
        return f"{self.name} {self.input_shape} -> {self.output_shape}, {self.count_params():,} parameters"

    def count_params(self):
        """Count the numbers in `params` and `state`, as Keras does."""
        return sum(array.size for array in self.params + self.state)


class _Weighted(Layer):
    """A layer with a kernel and a bias: Glorot-uniform kernel, zero bias, as in Keras."""

    def _draw(self, kernel_shape, rng, dtype):
        """Draw from -limit to limit, limit² = 6 / (inputs + outputs of one weight): Glorot & Bengio, 2010, eq. 16."""
        taps = math.prod(kernel_shape[:-2])
        limit = math.sqrt(6 / (taps * (kernel_shape[-2] + kernel_shape[-1])))
        kernel = rng.uniform(-limit, limit, kernel_shape).astype(dtype)
        self.params = [kernel, np.zeros(kernel_shape[-1], dtype)]


class Dense(_Weighted):
    """`dense_forward` with its kernel (d_in, units) and bias (units,).

    Args:
        units: int >= 1, number of outputs.
        name: str, or None for "Dense".

    Raises:
        ValueError: `units` is no integer >= 1; or, in `Sequential`, the input is not one row of numbers per image.
    """

    def __init__(self, units, *, name=None):
        super().__init__(name=name)
        self.units = _checks.integer("Dense", "units", units, minimum=1)

    def build(self, shape, rng, dtype):
        if len(shape) != 1:
            raise _checks.argument_error(
                "Dense", f"layer {self.name!r} takes one row of numbers per image", "Put Flatten() before it",
                input_shape=shape,
            )  # fmt: skip
        self._draw((shape[0], self.units), rng, dtype)
        return (self.units,)

    def forward(self, x, training=False):
        y, self._cache = dense_forward(x, *self.params)
        return y

    def backward(self, dy):
        dx, *self.grads = dense_backward(dy, self._cache)
        return dx


class Conv2D(_Weighted):
    """`conv2d_forward` with its kernel (kh, kw, c_in, filters) and bias (filters,).

    Args:
        filters: int >= 1, number of output channels.
        kernel_size: int or (kh, kw), pixels.
        stride, padding, dilation: as in `conv2d_forward`.
        name: str, or None for "Conv2D".

    Raises:
        ValueError: an argument is out of its range; or, in `Sequential`, the kernel does not fit the image.
    """

    def __init__(self, filters, kernel_size, *, stride=1, padding=0, dilation=1, name=None):
        super().__init__(name=name)
        self.filters = _checks.integer("Conv2D", "filters", filters, minimum=1)
        self.kernel_size = shapes.per_axis_ints("Conv2D", "kernel_size", kernel_size, 2)
        self.settings = {"stride": stride, "padding": padding, "dilation": dilation}

    def build(self, shape, rng, dtype):
        _image_shape("Conv2D", self, shape)
        axes = shapes.windows(shape[:2], self.kernel_size, **self.settings, function="Conv2D")
        self._draw((*self.kernel_size, shape[2], self.filters), rng, dtype)
        return (*(axis.out for axis in axes), self.filters)

    def forward(self, x, training=False):
        y, self._cache = conv2d_forward(x, *self.params, **self.settings)
        return y

    def backward(self, dy):
        dx, *self.grads = conv2d_backward(dy, self._cache)
        return dx


class _Unlearned(Layer):
    """A layer without parameters: a pair of pure functions, `_forward` and `_backward`, and settings of the first."""

    settings = MappingProxyType({})

    def forward(self, x, training=False):
        y, self._cache = self._forward(x, **self.settings)
        return y

    def backward(self, dy):
        return self._backward(dy, self._cache)


class _Pool(_Unlearned):
    def __init__(self, pool_size=2, *, stride=None, padding=0, name=None):
        super().__init__(name=name)
        self.settings = {"pool_size": pool_size, "stride": stride, "padding": padding}

    def build(self, shape, rng, dtype):
        kind = type(self).__name__
        _image_shape(kind, self, shape)
        axes = shapes.pool_windows(shape[:2], **self.settings, function=kind)
        return (*(axis.out for axis in axes), shape[2])


class MaxPool2D(_Pool):
    """`max_pool2d_forward` as a layer.

    Args:
        pool_size: int or (h, w), pixels.
        stride, padding: as in `max_pool2d_forward`; stride None for the pool size.
        name: str, or None for "MaxPool2D".
    """

    _forward, _backward = staticmethod(max_pool2d_forward), staticmethod(max_pool2d_backward)


class AvgPool2D(_Pool):
    """`avg_pool2d_forward` as a layer.

    Args:
        pool_size: int or (h, w), pixels.
        stride, padding: as in `avg_pool2d_forward`; stride None for the pool size.
        name: str, or None for "AvgPool2D".
    """

    _forward, _backward = staticmethod(avg_pool2d_forward), staticmethod(avg_pool2d_backward)


class ReLU(_Unlearned):
    """`relu_forward`: y = max(0, x)."""

    _forward, _backward = staticmethod(relu_forward), staticmethod(relu_backward)


class Sigmoid(_Unlearned):
    """`sigmoid_forward`: y = 1 / (1 + exp(-x))."""

    _forward, _backward = staticmethod(sigmoid_forward), staticmethod(sigmoid_backward)


class Tanh(_Unlearned):
    """`tanh_forward`: y = tanh(x)."""

    _forward, _backward = staticmethod(tanh_forward), staticmethod(tanh_backward)


class Flatten(Layer):
    """Lay each image out as one row of numbers, row by row, channels innermost: (n, h, w, c) to (n, h * w * c)."""

    def build(self, shape, rng, dtype):
        return (math.prod(shape),)

    def forward(self, x, training=False):
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(len(dy), *self.input_shape)


class BatchNorm(Layer):
    """`batch_norm_forward` with gamma and beta, and the moving mean and variance as `state`.

    Args:
        momentum, epsilon: as in `batch_norm_forward`, Keras's values by default.
        name: str, or None for "BatchNorm".
    """

    def __init__(self, *, momentum=0.99, epsilon=1e-3, name=None):
        super().__init__(name=name)
        self.settings = {"momentum": momentum, "epsilon": epsilon}

    def build(self, shape, rng, dtype):
        zeros, ones = np.zeros(shape[-1], dtype), np.ones(shape[-1], dtype)
        self.params, self.state = [ones, zeros], [zeros.copy(), ones.copy()]
        return shape

    def forward(self, x, training=False):
        y, self._cache = batch_norm_forward(x, *self.params, *self.state, training=training, **self.settings)
        if training:
            self.state = [self._cache.moving_mean, self._cache.moving_variance]
        return y

    def backward(self, dy):
        dx, *self.grads = batch_norm_backward(dy, self._cache)
        return dx


class Dropout(Layer):
    """`dropout_forward`, the inverted kind; its masks are drawn from the seed of the network.

    Args:
        rate: float in [0, 1), the probability that a number is dropped in training.
        name: str, or None for "Dropout".
    """

    def __init__(self, rate, *, name=None):
        super().__init__(name=name)
        self.rate = _checks.rate("Dropout", "rate", rate)

    def build(self, shape, rng, dtype):
        (self.rng,) = rng.spawn(1)
        return shape

    def forward(self, x, training=False):
        y, self._cache = dropout_forward(x, self.rate, training=training, rng=self.rng)
        return y

    def backward(self, dy):
        return dropout_backward(dy, self._cache)


def _image_shape(function, layer, shape):
    if len(shape) != 3:
        raise _checks.argument_error(
            function, f"layer {layer.name!r} takes images (h, w, c)",
            "Put it before Flatten(), or use input_shape=(h, w, c)", input_shape=shape,
        )  # fmt: skip
