"""Pooling that learns."""

from course_cnn import _checks, shapes
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras
from keras import ops  # noqa: F401  (used by the example)

from course_cnn.layers._common import image_shape


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
        n, h, w, c = shape = image_shape("LearnedPooling2D", input_shape)
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
