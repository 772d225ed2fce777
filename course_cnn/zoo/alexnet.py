"""AlexNet, the network that won ILSVRC 2012 with 15.3 % top-5 error where the next best entry had 26.2 %.

Source: Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012,
section 3.5 and figure 2.
"""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras
from keras.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ZeroPadding2D

from course_cnn.layers import BatchNormalization, LocalResponseNormalization
from course_cnn.zoo._common import image_shape, scaled

# name, filters, kernel_size, stride, padding, groups (one per GPU where the halves do not talk), LRN behind it, pooling
CONVOLUTIONS = [
    ("conv1",  96, 11, 4, 0, 1, "norm1", "pool1"),
    ("conv2", 256,  5, 1, 2, 2, "norm2", "pool2"),
    ("conv3", 384,  3, 1, 1, 1, None,    None),
    ("conv4", 384,  3, 1, 1, 2, None,    None),
    ("conv5", 256,  3, 1, 1, 2, None,    "pool5"),
]  # fmt: skip
DENSE = [("fc6", 4096), ("fc7", 4096)]  # each with dropout
POOL = 3, 2  # window and stride: neighbouring windows overlap
START = "he_normal"  # the paper: normal with deviation 0.01, biases 1 behind half of the layers; narrow nets stall so


def build_alexnet(
    *, grouped=False, normalization=None, input_shape=(227, 227, 3), num_classes=1000, width=1.0, dropout=0.5, padding=0
):
    """Build AlexNet. Not compiled; ends in logits.

    The paper says 224x224 pixels, but its sizes (55, 27, 13) ask for 227, or for 224 and two zeros on every side:
    `padding=2`. Both have the same parameters. A bare 224x224 is another net: conv1 gives 54, the last pooling 5
    instead of 6, and fc6 has 11.5 million weights less.

    First weights by He's rule of 2015: eight layers with ReLU hardly start to learn from Keras's default. Images should
    be centred, as in the paper: subtract the mean of the training images.

    Args:
        grouped: bool. True: as in the paper, conv2, conv4 and conv5 come in two halves, and each sees only the maps of
            its own GPU. False: every filter sees every map, as in most remakes.
        normalization: None; "lrn", as in the paper: local response normalisation after the ReLU of conv1 and conv2;
            "batch", as nobody could in 2012: batch normalisation between all convolutions and their ReLU, which then
            need no bias.
        input_shape: (h, w, c) in pixels and channels, at least 67x67, or 63x63 with `padding=2`. The paper's images
            have values from 0 to 255, less the mean; the settings of `LocalResponseNormalization` suit such values.
        num_classes: int >= 1, number of logits.
        width: float > 0, a factor on all filters and hidden units; 0.25 for a laptop.
        dropout: float in [0, 1), share of the outputs of fc6 and of fc7 that training drops.
        padding: int >= 0, zeros on every side of the image, pixels.

    Returns:
        flat `keras.Model` with layers named as in the paper: conv1, norm1, pool1, …, pool5, flatten, fc6, fc7, output.

    Raises:
        ValueError: images too small for the layers, or an argument is out of its range.

    Example:
        >>> model = build_alexnet(width=0.25, num_classes=12, input_shape=(67, 67, 3))
        >>> [layer.name for layer in model.layers if layer.count_params()]
        ['conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'fc6', 'fc7', 'output']
        >>> model.count_params()
        1369452

    Source: Krizhevsky et al., NIPS 2012, sections 3.2 (two GPUs), 3.3 (normalisation), 3.4 (pooling), 4.2 (dropout).
    """
    function = "build_alexnet"
    _checks.choice(function, "grouped", grouped, (False, True))
    _checks.choice(function, "normalization", normalization, (None, "lrn", "batch"))
    num_classes = _checks.integer(function, "num_classes", num_classes, minimum=1)
    width = _checks.positive(function, "width", width, 0.25)
    dropout = _checks.rate(function, "dropout", dropout)
    padding = _checks.integer(function, "padding", padding, minimum=0)
    input_shape = image_shape(function, input_shape, list(_sizes(padding)))

    batch = normalization == "batch"
    x = inputs = keras.Input(input_shape)
    if padding:
        x = ZeroPadding2D(padding, name="padding")(x)
    for name, filters, kernel_size, stride, zeros, groups, norm, pool in CONVOLUTIONS:
        filters = scaled(filters, width, multiple=2)  # two halves, whatever the width
        x = Conv2D(
            filters, kernel_size, strides=stride, padding="same" if zeros else "valid", groups=groups if grouped else 1,
            activation=None if batch else "relu", use_bias=not batch, kernel_initializer=START, name=name,
        )(x)  # fmt: skip
        if batch:
            x = BatchNormalization(name=name.replace("conv", "norm"))(x)
            x = Activation("relu", name=name.replace("conv", "relu"))(x)
        if norm and normalization == "lrn":
            x = LocalResponseNormalization(name=norm)(x)
        if pool:
            x = MaxPooling2D(*POOL, name=pool)(x)
    x = Flatten(name="flatten")(x)
    for name, units in DENSE:
        x = Dense(scaled(units, width), activation="relu", kernel_initializer=START, name=name)(x)
        x = Dropout(dropout, name=name.replace("fc", "drop"))(x)
    return keras.Model(inputs, Dense(num_classes, name="output")(x), name="alexnet")


def _sizes(padding):
    """Yield (name, kernel_size, stride, padding) of the layers that have a size; the image's zeros belong to conv1."""
    for name, _, kernel_size, stride, zeros, _, _, pool in CONVOLUTIONS:
        yield name, kernel_size, stride, zeros + padding
        padding = 0
        if pool:
            yield pool, *POOL, 0
