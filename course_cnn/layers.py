"""Ideas of the course as Keras layers: they train, save and load in any Keras 3 model. Channels last, no switches.

Written with `keras.ops`, so a model does not notice which backend runs it. `BatchNormalization` uses a kernel of
TensorFlow's where it can, and `keras.ops` elsewhere.
"""

import functools
import math
import numbers

from course_cnn import _checks, shapes, tfops
from course_cnn._tensorflow import tf  # before Keras: it quiets the import of TensorFlow

# isort: split
import keras
from keras import ops

_WORTH_A_KERNEL = 2**18  # numbers in an input; measured on two cores: half the speed at 2**14, twice at 2**20


@keras.saving.register_keras_serializable(package="course_cnn")
class Conv2D(keras.layers.Conv2D):
    """Keras's `Conv2D` with the paddings it refuses, and with strides and dilation together.

    Zeros are added around the image, then the kernel visits the valid positions. With stride and dilation both > 1 the
    dilated kernel visits every position and each stride-th answer is kept: the same numbers, more work.

    Args:
        filters: int >= 1, number of output channels.
        kernel_size: int or (kh, kw), pixels.
        strides: int >= 1 or one per axis, pixels between neighbouring positions.
        padding: "valid", "same" (both exactly Keras's), "full" (every position where kernel and image share a pixel),
            "causal" (all zeros above and to the left), an int, a (before, after) pair for both axes, or
            ((top, bottom), (left, right)); pixels.
        data_format: None or "channels_last".
        dilation_rate: int >= 1 or one per axis, pixels between neighbouring taps.
        **kwargs: `groups`, `activation`, `use_bias`, `kernel_initializer`, `name`, … as for `keras.layers.Conv2D`.

    Input: float tensor (n, h, w, c_in); h and w may be unknown (None).
    Output: (n, out_h, out_w, filters), sizes by `shapes.output_size`.

    Raises:
        ValueError: an argument is out of its range; the input is not (n, h, w, c), has another number of channels than
            the layer was built for, or is smaller than the kernel.

    Example:
        >>> Conv2D(8, 3, padding="full").compute_output_shape((None, 28, 28, 1))
        (None, 30, 30, 8)
        >>> Conv2D(8, 3, strides=2, dilation_rate=2, padding="same").compute_output_shape((None, 28, None, 1))
        (None, 14, None, 8)

    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, **kwargs
    ):  # the order of keras.layers.Conv2D, so that positional arguments keep their meaning
        if data_format not in (None, "channels_last"):
            raise _checks.argument_error(
                "Conv2D", "images must be channels last, (n, h, w, c)",
                "Leave data_format out and move the channels: np.moveaxis(x, 1, -1)", data_format=data_format,
            )  # fmt: skip
        filters = _checks.integer("Conv2D", "filters", filters, minimum=1)
        kernel_size = shapes.per_axis_ints("Conv2D", "kernel_size", kernel_size, 2)
        strides = shapes.per_axis_ints("Conv2D", "strides", strides, 2)
        dilation_rate = shapes.per_axis_ints("Conv2D", "dilation_rate", dilation_rate, 2)
        groups = _checks.integer("Conv2D", "groups", kwargs.get("groups", 1), minimum=1)
        if filters % groups:
            raise _checks.argument_error(
                "Conv2D", "`groups` must divide `filters`", "Use groups=1", groups=groups, filters=filters
            )
        super().__init__(filters, kernel_size, data_format="channels_last", **kwargs)
        # Keras would refuse these three, so they are set behind its back.
        self.strides, self.dilation_rate = strides, dilation_rate
        self.padding = padding.lower() if isinstance(padding, str) else _as_tuples(padding)
        self.input_spec = None  # the input is checked, and the error worded, by compute_output_shape
        self._axes(self._spans())  # an image as large as the kernel always fits: this checks `padding`

    def _spans(self):
        return [d * (k - 1) + 1 for d, k in zip(self.dilation_rate, self.kernel_size, strict=True)]

    def _axes(self, sizes):
        return shapes.windows(
            sizes, self.kernel_size, stride=self.strides, padding=self.padding, dilation=self.dilation_rate,
            function="Conv2D",
        )  # fmt: skip

    def build(self, input_shape):
        channels = _image_shape("Conv2D", input_shape)[-1]
        if channels is None or channels % self.groups:
            raise _checks.argument_error(
                "Conv2D", "the channels of the input must be known and a multiple of `groups`",
                "Use groups=1 and, for images of any size, keras.Input((None, None, 3))",
                groups=self.groups, **{"input.shape": tuple(input_shape)},
            )  # fmt: skip
        super().build(input_shape)
        self.input_spec = None

    def compute_output_shape(self, input_shape):
        n, h, w, channels = shape = _image_shape("Conv2D", input_shape)
        expected = self._kernel.shape[2] * self.groups if self.built else channels
        if channels != expected:
            raise _checks.argument_error(
                "Conv2D", f"the input has {channels} channels but the layer was built for {expected}",
                "Make a new layer: a kernel has one slice per input channel", **{"input.shape": shape},
            )  # fmt: skip
        # An unknown size stands for one that fits; its answer is thrown away.
        axes = self._axes([span if size is None else size for size, span in zip((h, w), self._spans(), strict=True)])
        return (n, *(None if size is None else axis.out for size, axis in zip((h, w), axes, strict=True)), self.filters)

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # a later input may differ from the one the layer was built for
        return super().call(inputs)

    def convolution_op(self, inputs, kernel):
        word = self.padding
        if word not in ("valid", "same"):  # zeros that do not depend on the size of the image
            zeros = [(axis.before, axis.after) for axis in self._axes(self._spans())]
            inputs, word = ops.pad(inputs, [(0, 0), *zeros, (0, 0)]), "valid"
        if max(self.strides) == 1 or max(self.dilation_rate) == 1:
            return ops.conv(
                inputs, kernel, strides=list(self.strides), padding=word, data_format="channels_last",
                dilation_rate=self.dilation_rate,
            )  # fmt: skip
        y = ops.conv(inputs, kernel, padding=word, data_format="channels_last", dilation_rate=self.dilation_rate)
        first = [0, 0]
        if word == "same":  # with a stride fewer zeros are needed in front than the stride of 1 above has added
            for i, (n, span, s) in enumerate(zip(ops.shape(inputs)[1:3], self._spans(), self.strides, strict=True)):
                zeros = (-(-n // s) - 1) * s + span - n
                zeros = max(zeros, 0) if isinstance(n, int) else ops.maximum(zeros, 0)
                first[i] = (span - 1) // 2 - zeros // 2
        return y[:, first[0] :: self.strides[0], first[1] :: self.strides[1]]


@keras.saving.register_keras_serializable(package="course_cnn")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's `BatchNormalization`, computed by TensorFlow's fused kernel where that pays: same numbers, sooner.

    y = gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel. In training mean and variance are the batch's,
    over all axes but the channels, and the moving averages follow: moving = momentum * moving + (1 - momentum) * batch,
    with the biased variance. At inference, and when `trainable` is False, the moving averages take their place.
    Keras 3 reads the input several times for that; the kernel of `tfops.batch_norm` does it in one go.

    The formulas of Keras step in where the kernel does not apply: float64 or integer input, a mask, an axis that is not
    the last, `synchronized` or `renorm`, another backend than TensorFlow; at inference on a GPU, where the kernel's
    gradient refuses to run after `training.seed_everything`; and for inputs of less than 262,144 numbers (of unknown
    sizes each counts as 64), which are done before the kernel has started its threads. In a graph that XLA compiles
    (`jit_compile=True`) both ways become the same code.

    A batch with one number per channel (a batch of one after a dense layer) has variance 0, so y = beta whatever x is.

    Args:
        axis, momentum, epsilon, center, scale, …: as for `keras.layers.BatchNormalization`, and with the same weights
            in the same order: gamma, beta, moving_mean, moving_variance.

    Input: float tensor (..., c).
    Output: like the input. Parameters: 4 c, of which 2 c trained.

    Raises:
        ValueError: `momentum` or `epsilon` is out of its range; `axis` is not an integer, as in BatchNormalization(x),
            where BatchNormalization()(x) is meant.

    Example:
        >>> norm = BatchNormalization(epsilon=1e-9)
        >>> norm(np.array([[1.0], [3.0]]), training=True).numpy().round(6).tolist()
        [[-1.0], [1.0]]
        >>> norm.moving_mean.numpy()      # 0.99 * 0 + 0.01 * 2
        array([0.02], dtype=float32)

    Source: Ioffe & Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015, algorithms 1 and 2.
    """

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, *args, **kwargs):
        if not isinstance(axis, numbers.Integral):
            raise _checks.argument_error(
                "BatchNormalization", "`axis` must be an integer, the axis of the channels",
                "To normalise a tensor x, make the layer, then call it: BatchNormalization()(x)",
                **{"type(axis)": type(axis).__name__},
            )  # fmt: skip
        momentum = _checks.rate("BatchNormalization", "momentum", momentum)
        epsilon = _checks.positive("BatchNormalization", "epsilon", epsilon, example=0.001)
        super().__init__(axis, momentum, epsilon, *args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        learning = bool(training and self.trainable)
        if mask is not None or not self._fused(inputs, learning):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        gamma = ops.cast(self.gamma, "float32") if self.scale else tf.ones(channels)
        beta = ops.cast(self.beta, "float32") if self.center else tf.zeros(channels)
        moving = [ops.cast(self.moving_mean, "float32"), ops.cast(self.moving_variance, "float32")]
        y, *batch = tfops.batch_norm(inputs, gamma, beta, *(() if learning else moving), epsilon=self.epsilon)
        if learning:
            for variable, old, new in zip((self.moving_mean, self.moving_variance), moving, batch, strict=True):
                variable.assign(old * self.momentum + new * (1 - self.momentum))
        return ops.cast(y, self.compute_dtype)

    def _fused(self, inputs, learning):
        """Whether the kernel applies and pays."""
        return (
            keras.config.backend() == "tensorflow"
            and self.axis in (-1, len(inputs.shape) - 1)
            and inputs.dtype in (tf.float16, tf.bfloat16, tf.float32)
            and 0 not in inputs.shape
            and not (self.synchronized or getattr(self, "renorm", False))  # Keras 3.12 has no renorm
            and (learning or not _gpu())
            and math.prod(64 if size is None else size for size in inputs.shape) >= _WORTH_A_KERNEL
        )


@keras.saving.register_keras_serializable(package="course_cnn")
class LearnedPooling2D(keras.layers.Layer):
    """Pooling whose window is learned: one weight per tap and channel, no bias; it starts as average pooling.

    A strided depthwise convolution. LeCun's S2 is its small brother: one learned coefficient and one bias per channel
    for the whole window. Max pooling is not among the things it can learn, since it is linear.

    Args:
        pool_size: int >= 1 or (ph, pw), pixels.
        strides: int >= 1 or one per axis, pixels; None means `pool_size`, windows side by side.
        **kwargs: `name`, `dtype`, … as for `keras.layers.Layer`.

    Input: float tensor (n, h, w, c); h and w may be unknown (None).
    Output: (n, out_h, out_w, c), sizes as for pooling with padding "valid". Parameters: ph * pw * c.

    Raises:
        ValueError: an argument is out of its range; the input is not (n, h, w, c) or smaller than the window.

    Example:
        >>> pool = LearnedPooling2D(2)
        >>> pool(ops.reshape(ops.arange(4.0), (1, 2, 2, 1))).numpy().item()      # (0 + 1 + 2 + 3) / 4
        1.5
        >>> pool.count_params()
        4

    Source: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998, section II.B;
    Springenberg et al., "Striving for simplicity: the all convolutional net", 2015, section 2.
    """

    def __init__(self, pool_size=2, *, strides=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = shapes.per_axis_ints("LearnedPooling2D", "pool_size", pool_size, 2)
        self.strides = shapes.per_axis_ints(
            "LearnedPooling2D", "strides", self.pool_size if strides is None else strides, 2
        )

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides}

    def build(self, input_shape):
        self.compute_output_shape(input_shape)
        (ph, pw), c = self.pool_size, input_shape[-1]
        self.window = self.add_weight(
            name="window", shape=(ph, pw, c), initializer=keras.initializers.Constant(1 / (ph * pw))
        )

    def compute_output_shape(self, input_shape):
        n, h, w, c = shape = _image_shape("LearnedPooling2D", input_shape)
        if any(size is not None and size < taps for size, taps in zip((h, w), self.pool_size, strict=True)):
            raise _checks.argument_error(
                "LearnedPooling2D", "the window must not be larger than the image",
                f"Use for example pool_size={min(size for size in (h, w) if size is not None)}",
                pool_size=self.pool_size, **{"input.shape": shape},
            )  # fmt: skip
        axes = zip((h, w), self.pool_size, self.strides, strict=True)
        return (n, *(None if size is None else (size - taps) // stride + 1 for size, taps, stride in axes), c)

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)
        (ph, pw), (sh, sw) = self.pool_size, self.strides
        # Tap (i, j) sees the image without its first i rows and j columns, and without those it can never reach.
        return sum(
            self.window[i, j] * inputs[:, i : (i + 1 - ph) or None : sh, j : (j + 1 - pw) or None : sw]
            for i in range(ph)
            for j in range(pw)
        )


def _image_shape(function, shape):
    """Return the shape (n, h, w, c) of a batch of images as a tuple, or raise."""
    shape = tuple(shape)
    if len(shape) != 4:
        raise _checks.argument_error(
            function, "the input must have 4 axes (n, h, w, c)",
            "Reshape it: x[None] makes one image a batch of one, x[..., None] adds the channel axis of grey images",
            **{"input.shape": shape},
        )  # fmt: skip
    return shape


@functools.cache
def _gpu():
    return bool(tf.config.list_physical_devices("GPU"))


def _as_tuples(padding):
    """Turn lists, as they come out of a saved file, into tuples."""
    return tuple(_as_tuples(part) for part in padding) if isinstance(padding, (tuple, list)) else padding
