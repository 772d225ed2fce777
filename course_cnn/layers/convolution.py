"""Convolution with every padding of the course."""

from course_cnn import _checks, shapes
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras
from keras import ops

from course_cnn.layers._common import image_shape


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
        channels = image_shape("Conv2D", input_shape)[-1]
        if channels is None or channels % self.groups:
            raise _checks.argument_error(
                "Conv2D", "the channels of the input must be known and a multiple of `groups`",
                "Use groups=1 and, for images of any size, keras.Input((None, None, 3))",
                groups=self.groups, **{"input.shape": tuple(input_shape)},
            )  # fmt: skip
        super().build(input_shape)
        self.input_spec = None

    def compute_output_shape(self, input_shape):
        n, h, w, channels = shape = image_shape("Conv2D", input_shape)
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


def _as_tuples(padding):
    """Turn lists, as they come out of a saved file, into tuples."""
    return tuple(_as_tuples(part) for part in padding) if isinstance(padding, (tuple, list)) else padding
