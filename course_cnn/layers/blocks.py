"""Blocks of a modern network: convolution with batch norm and ReLU, and the residual block around such convolutions.

A block is a Keras layer like any other. A builder may also use its code without the wrapper: `block.call(x)` on a
symbolic tensor puts the layers inside, under names that begin with the block's, straight into the model's graph.
"""

import numbers

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras
from keras import ops

from course_cnn.layers._common import image_shape
from course_cnn.layers.normalization import BatchNormalization

EXPANSION = 4  # a bottleneck block's last convolution has four times the filters of the others
INITIALIZER = "he_normal"  # He et al. 2015: variance 2 / fan_in keeps the size of what passes a ReLU


def batch_norm(**kwargs):
    """Batch norm as ResNets use it: epsilon of keras.applications, momentum of the authors' Torch code."""
    return BatchNormalization(epsilon=1.001e-5, momentum=0.9, **kwargs)


@keras.saving.register_keras_serializable(package="course_cnn")
class ConvBlock(keras.layers.Layer):
    """Convolution, then batch normalisation, then ReLU.

    Args:
        filters: int >= 1, number of output channels.
        kernel_size: int >= 1, pixels along both axes.
        strides: int >= 1, pixels between neighbouring positions.
        padding: "same", "valid", or an int >= 1: zeros on each of the four sides, which is what a paper that says
            "pad 1" means. With a stride "same" puts fewer zeros in front, so the kernels sit elsewhere.
        normalization: "batch", or None for none.
        activation: "relu", or None for none.
        use_bias: bool, a bias per filter; None for one where nothing is normalised: batch norm takes it out again.
        **kwargs: `name`, `dtype`, `trainable` as for `keras.layers.Layer`.

    The kernel starts as in He et al. 2015 (`he_normal`), biases at 0.

    Input: float tensor (n, h, w, c); h and w may be unknown (None).
    Output: (n, out_h, out_w, filters), sizes by `shapes.output_size`.

    Raises:
        ValueError: an argument is out of its range, or the input is not (n, h, w, c).

    Example:
        >>> block = ConvBlock(8, 3, strides=2, padding=1)
        >>> block.compute_output_shape((None, 32, 32, 3))
        (None, 16, 16, 8)
        >>> block(np.ones((1, 32, 32, 3))).shape, block.count_params()      # 8 * 27 weights, 4 numbers per batch norm
        (TensorShape([1, 16, 16, 8]), 248)

    Source: Ioffe & Szegedy, "Batch normalization", 2015, section 3.2: the batch norm stands right before the
    activation. Initial weights: He et al., "Delving deep into rectifiers", 2015, section 2.2.
    """

    def __init__(
        self, filters, kernel_size=3, *, strides=1, padding="same", normalization="batch", activation="relu",
        use_bias=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.filters = _checks.integer("ConvBlock", "filters", filters, minimum=1)
        self.kernel_size = _checks.integer("ConvBlock", "kernel_size", kernel_size, minimum=1)
        self.strides = _checks.integer("ConvBlock", "strides", strides, minimum=1)
        if isinstance(padding, numbers.Integral):
            self.padding = _checks.integer("ConvBlock", "padding", padding, minimum=1)
        else:
            self.padding = _checks.choice("ConvBlock", "padding", padding, ("same", "valid"))
        self.normalization = _checks.choice("ConvBlock", "normalization", normalization, ("batch", None))
        self.activation = _checks.choice("ConvBlock", "activation", activation, ("relu", None))
        self.use_bias = normalization is None if use_bias is None else bool(use_bias)
        self.parts = list(self._parts())

    def _parts(self):
        if isinstance(self.padding, int):
            yield keras.layers.ZeroPadding2D(self.padding, **_part_of(self, "pad"))
        yield keras.layers.Conv2D(
            self.filters, self.kernel_size, strides=self.strides, use_bias=self.use_bias,
            padding="valid" if isinstance(self.padding, int) else self.padding, kernel_initializer=INITIALIZER,
            **_part_of(self, "conv"),
        )  # fmt: skip
        if self.normalization:
            yield batch_norm(**_part_of(self, "bn"))
        if self.activation:
            yield keras.layers.Activation(self.activation, **_part_of(self, "relu"))

    def get_config(self):
        names = ("filters", "kernel_size", "strides", "padding", "normalization", "activation", "use_bias")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        _build(self.parts, image_shape("ConvBlock", input_shape))

    def compute_output_shape(self, input_shape):
        return _output_shape(self.parts, image_shape("ConvBlock", input_shape))

    def call(self, inputs, training=None):
        return _run(self.parts, inputs, training)


@keras.saving.register_keras_serializable(package="course_cnn")
class IdentityShortcut(keras.layers.Layer):
    """The shortcut without parameters where shapes differ: every stride-th pixel, and channels of zeros behind.

    Args:
        filters: int >= 1, number of output channels, at least those of the input.
        strides: int >= 1, pixels between the pixels that are kept.
        **kwargs: `name`, `dtype` as for `keras.layers.Layer`.

    Input: float tensor (n, h, w, c).
    Output: (n, ceil(h / strides), ceil(w / strides), filters). Parameters: none.

    Raises:
        ValueError: an argument is out of its range, or the input has more channels than the output would.

    Example:
        >>> IdentityShortcut(2, strides=2)(np.reshape([1.0, 2, 3, 4, 5, 6, 7, 8, 9], (1, 3, 3, 1))).numpy()[0, 0]
        array([[1., 0.],
               [3., 0.]], dtype=float32)

    Source: He et al., "Deep residual learning for image recognition", 2016, section 3.3, option A.
    """

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = _checks.integer("IdentityShortcut", "filters", filters, minimum=1)
        self.strides = _checks.integer("IdentityShortcut", "strides", strides, minimum=1)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape):
        n, h, w, channels = image_shape("IdentityShortcut", input_shape)
        _check_channels(
            "IdentityShortcut", channels, self.filters, f"Use filters={channels} or more", filters=self.filters
        )
        return (n, *(None if size is None else -(-size // self.strides) for size in (h, w)), self.filters)

    def call(self, inputs):
        more = self.compute_output_shape(inputs.shape)[-1] - inputs.shape[-1]
        if self.strides > 1:  # inputs[:, ::strides, ::strides], which TensorFlow would do on one core
            inputs = ops.average_pool(inputs, 1, strides=self.strides, data_format="channels_last")
        return ops.pad(inputs, [(0, 0), (0, 0), (0, 0), (0, more)]) if more else inputs


@keras.saving.register_keras_serializable(package="course_cnn")
class ResidualBlock(keras.layers.Layer):
    """A few convolutions that learn what to add to their input: y = ReLU(x + F(x)), or y = x + F(x).

    F in the form of 2016a, "post-activation": convolution, batch norm, ReLU, convolution, batch norm; the ReLU of the
    sum follows. In the pre-activation form every batch norm and ReLU moves in front of its convolution and nothing
    follows the sum: what enters can leave unchanged. With weights of zero F is 0 there and y = x exactly; in the
    other form y = ReLU(x).

    Args:
        filters: int >= 1, filters of a 3x3 convolution; a bottleneck block's output has 4 times as many channels.
        strides: int >= 1, of the block's first convolution, as in the paper, and of the shortcut.
        bottleneck: False for two 3x3 convolutions; True for 1x1, 3x3 and 1x1, the last with 4 * filters.
        shortcut: what happens where x and F(x) differ in shape: "projection", a 1x1 convolution with that stride
            (option B); "identity", every stride-th pixel and channels of zeros (option A). Where they agree the
            shortcut is x itself. None: no shortcut anywhere, which leaves a plain block.
        preactivation: False or True; "both" puts the first activation before the fork, on both ways, as the paper asks
            of a network's first block. A projection always starts from the activated input.
        use_bias: bool, whether convolutions have biases.
        **kwargs: `name`, `dtype`, `trainable` as for `keras.layers.Layer`.

    Input: float tensor (n, h, w, c); h and w may be unknown (None).
    Output: (n, ceil(h / strides), ceil(w / strides), filters), or 4 * filters channels.

    Raises:
        ValueError: an argument is out of its range, the input is not (n, h, w, c), or it has more channels than the
            output and the shortcut is "identity".

    Example:
        >>> block = ResidualBlock(64)
        >>> block.build((None, 56, 56, 64))
        >>> sum(int(np.prod(w.shape)) for w in block.trainable_weights)     # 2 * 9 * 64 * 64 + 2 * 2 * 64
        73984
        >>> ResidualBlock(64, bottleneck=True, strides=2).compute_output_shape((None, 56, 56, 256))
        (None, 28, 28, 256)

    Source: He et al., "Deep residual learning for image recognition", 2016, figures 2 and 5, section 3.3; He et al.,
    "Identity mappings in deep residual networks", 2016, figure 4 and appendix.
    """

    def __init__(
        self, filters, *, strides=1, bottleneck=False, shortcut="projection", preactivation=False, use_bias=False,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.filters = _checks.integer("ResidualBlock", "filters", filters, minimum=1)
        self.strides = _checks.integer("ResidualBlock", "strides", strides, minimum=1)
        self.shortcut = _checks.choice("ResidualBlock", "shortcut", shortcut, ("projection", "identity", None))
        self.preactivation = _checks.choice("ResidualBlock", "preactivation", preactivation, (False, True, "both"))
        self.bottleneck, self.use_bias = bool(bottleneck), bool(use_bias)
        self.activate = list(self._activation()) if preactivation else []
        self.branch = list(self._branch())
        self.way = None  # the shortcut's layers; their kind depends on the channels of the input
        self.join = [] if shortcut is None else [keras.layers.Add(**_part_of(self, "add"))]
        self.after = [] if preactivation else [keras.layers.Activation("relu", **_part_of(self, "out"))]

    def _activation(self):
        yield batch_norm(**_part_of(self, "preact_bn"))
        yield keras.layers.Activation("relu", **_part_of(self, "preact_relu"))

    def _branch(self):
        """Yield the convolutions of F. The last one's batch norm goes to the front in the pre-activation form."""
        f, s = self.filters, self.strides
        table = [(f, 1, s), (f, 3, 1), (EXPANSION * f, 1, 1)] if self.bottleneck else [(f, 3, s), (f, 3, 1)]
        for i, (filters, kernel_size, strides) in enumerate(table, start=1):
            last = i == len(table)
            yield ConvBlock(
                filters, kernel_size, strides=strides, padding=1 if kernel_size == 3 and strides > 1 else "same",
                normalization=None if last and self.preactivation else "batch", activation=None if last else "relu",
                use_bias=self.use_bias, **_part_of(self, str(i)),
            )  # fmt: skip

    def _choose_shortcut(self, channels):
        """Make the layers of the shortcut, once the channels of the input are known."""
        filters = self.branch[-1].filters
        if self.way is not None:
            return
        if self.shortcut is None or (self.strides == 1 and channels == filters):
            self.way = []
        elif self.shortcut == "identity":
            _check_channels("ResidualBlock", channels, filters, 'Use shortcut="projection"', shortcut="identity")
            self.way = [IdentityShortcut(filters, self.strides, **_part_of(self, "shortcut"))]
        else:
            self.way = [
                ConvBlock(
                    filters, 1, strides=self.strides, normalization=None if self.preactivation else "batch",
                    activation=None, use_bias=self.use_bias, **_part_of(self, "0"),
                )
            ]  # fmt: skip

    def get_config(self):
        names = ("filters", "strides", "bottleneck", "shortcut", "preactivation", "use_bias")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        input_shape = image_shape("ResidualBlock", input_shape)
        self._choose_shortcut(input_shape[-1])
        shape = _build(self.branch, _build(self.activate, input_shape))
        _build(self.way, input_shape)
        for layer in self.join:
            layer.build([shape, shape])
        _build(self.after, shape)

    def compute_output_shape(self, input_shape):
        return _output_shape(self.branch, image_shape("ResidualBlock", input_shape))

    def call(self, inputs, training=None):
        self._choose_shortcut(inputs.shape[-1])
        x = _run(self.activate, inputs, training)
        y = _run(self.branch, x, training)
        if self.join:
            projected = self.way and self.shortcut == "projection"
            start = x if projected or self.preactivation == "both" else inputs
            y = self.join[0]([_run(self.way, start, training), y])
        return _run(self.after, y, training)


def _part_of(block, part):
    """What a layer inside a block takes over from it."""
    return {"name": f"{block.name}_{part}", "dtype": block.dtype_policy, "trainable": block.trainable}


def _check_channels(function, channels, filters, remedy, /, **values):
    if channels > filters:
        rule = f"zeros can add channels, not take them away: the input has {channels}, the output {filters}"
        raise _checks.argument_error(function, rule, remedy, **values)


def _build(layers, shape):
    """Build layers that follow one another; return the shape of what comes out."""
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def _output_shape(layers, shape):
    for layer in layers:
        shape = layer.compute_output_shape(shape)
    return shape


def _run(layers, x, training):
    """Send x through layers that follow one another. Blocks are entered, so that all layers stand in one flat graph."""
    for layer in layers:
        if isinstance(layer, ConvBlock):
            x = layer.call(x, training=training)
        elif training is None or not isinstance(layer, keras.layers.BatchNormalization):
            x = layer(x)  # to hand on None would overrule what Keras knows from the layer outside
        else:
            x = layer(x, training=training)
    return x
