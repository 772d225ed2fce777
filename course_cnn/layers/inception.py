"""The Inception module: look at several sizes at once, and pay for it with 1x1 convolutions."""

from course_cnn import _checks, shapes
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.layers._common import image_shape


@keras.saving.register_keras_serializable(package="course_cnn")
class Inception(keras.layers.Layer):
    """Four branches side by side on one input, their feature maps stacked: the Inception module of GoogLeNet.

        1x1 │ 1x1, then 3x3 │ 1x1, then 5x5 │ 3x3 max pooling, then 1x1

    The 1x1 convolutions in front are the "reductions": they hand fewer channels to the expensive kernels. Every
    convolution has a bias and is followed by a ReLU; every branch keeps height and width.

    Args:
        filters: six ints >= 1 as in a row of the paper's table 1: (#1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5,
            pool projection).
        **kwargs: `name`, `dtype`, … as for `keras.layers.Layer`.

    Input: float tensor (n, h, w, c); h and w may be unknown (None).
    Output: (n, h, w, #1x1 + #3x3 + #5x5 + pool projection), in this order.

    Raises:
        ValueError: `filters` are not six ints >= 1, or the input is not (n, h, w, c).

    Example:
        >>> block = Inception((64, 96, 128, 16, 32, 32))       # inception (3a)
        >>> block.compute_output_shape((None, 28, 28, 192))
        (None, 28, 28, 256)
        >>> block.build((None, 28, 28, 192))
        >>> block.count_params()
        163696

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, figure 2(b) and table 1.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(filters, (tuple, list)) or len(filters) != 6:
            raise _checks.argument_error(
                "Inception", "`filters` must be six integers, one per convolution",
                "Use for example filters=(64, 96, 128, 16, 32, 32)", filters=filters,
            )  # fmt: skip
        self.filters = shapes.per_axis_ints("Inception", "filters", filters, 6)
        one, reduce3, three, reduce5, five, projection = self.filters
        self.conv_1x1 = self._conv(one, 1, "1x1")
        self.reduce_3x3, self.conv_3x3 = self._conv(reduce3, 1, "3x3_reduce"), self._conv(three, 3, "3x3")
        self.reduce_5x5, self.conv_5x5 = self._conv(reduce5, 1, "5x5_reduce"), self._conv(five, 5, "5x5")
        self.pool = keras.layers.MaxPooling2D(
            3, strides=1, padding="same", name=f"{self.name}_pool", dtype=self.dtype_policy
        )
        self.projection = self._conv(projection, 1, "pool_proj")
        self.concat = keras.layers.Concatenate(name=f"{self.name}_output", dtype=self.dtype_policy)

    def _conv(self, filters, kernel_size, name):
        return keras.layers.Conv2D(
            filters, kernel_size, padding="same", activation="relu", name=f"{self.name}_{name}", dtype=self.dtype_policy
        )

    def call(self, x):
        return self.concat([
            self.conv_1x1(x),
            self.conv_3x3(self.reduce_3x3(x)),
            self.conv_5x5(self.reduce_5x5(x)),
            self.projection(self.pool(x)),
        ])  # fmt: skip

    def build(self, input_shape):
        *place, _ = image_shape("Inception", input_shape)
        for layer in (self.conv_1x1, self.reduce_3x3, self.reduce_5x5, self.projection):
            layer.build(input_shape)
        self.conv_3x3.build((*place, self.reduce_3x3.filters))
        self.conv_5x5.build((*place, self.reduce_5x5.filters))

    def compute_output_shape(self, input_shape):
        one, _, three, _, five, projection = self.filters
        return (*image_shape("Inception", input_shape)[:3], one + three + five + projection)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}
