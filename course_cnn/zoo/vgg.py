"""VGG-16 and VGG-19: nothing but 3x3 convolutions and 2x2 max pooling, and three dense layers.

Source: Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
"""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.zoo._common import image_shape, scaled

# Table 1 of the paper, columns D and E: convolutions in each block, and their filters. After each block a max pooling.
TABLE = {"D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
FILTERS = (64, 128, 256, 512, 512)
DENSE = (4096, 4096)


def build_vgg16(*, input_shape=(224, 224, 3), num_classes=1000, width=1.0, dropout=0.5):
    """Build VGG-16, configuration D of the paper: 13 convolutions and 3 dense layers. Not compiled; ends in logits.

    Names and weights are those of `keras.applications.VGG16`, which has no dropout and ends in a softmax.

    Args:
        input_shape: (h, w, c) in pixels and channels, at least 32x32.
        num_classes: int >= 1, number of logits.
        width: number > 0, a factor on every layer's filters and units.
        dropout: number in [0, 1), the share of units dropped after each of the two hidden dense layers.

    Returns:
        `keras.Sequential` with layers block1_conv1, …, block5_pool, flatten, fc1, drop1, fc2, drop2, predictions;
        without drop1 and drop2 for `dropout=0`.

    Raises:
        ValueError: images too small for five poolings, or an argument out of its range.

    Example:
        >>> model = build_vgg16(input_shape=(64, 64, 3), num_classes=10, width=1 / 16)
        >>> model.get_layer("block5_pool").output.shape
        (None, 2, 2, 32)
        >>> model.count_params()
        159214

    Source: Simonyan & Zisserman, ICLR 2015, table 1, column D.
    """
    return _build("build_vgg16", "vgg16", TABLE["D"], input_shape, num_classes, width, dropout)


def build_vgg19(*, input_shape=(224, 224, 3), num_classes=1000, width=1.0, dropout=0.5):
    """Build VGG-19, configuration E of the paper: 16 convolutions and 3 dense layers. Not compiled; ends in logits.

    Args, Returns, Raises: as for `build_vgg16`. Names and weights are those of `keras.applications.VGG19`.

    Example:
        >>> model = build_vgg19(input_shape=(32, 32, 3), num_classes=10, width=1 / 16)
        >>> sum(layer.name.endswith(("conv1", "conv2", "conv3", "conv4")) for layer in model.layers)
        16

    Source: Simonyan & Zisserman, ICLR 2015, table 1, column E.
    """
    return _build("build_vgg19", "vgg19", TABLE["E"], input_shape, num_classes, width, dropout)


def _build(function, name, blocks, input_shape, num_classes, width, dropout):
    sizes = [(f"block{number}_pool", 2, 2, 0) for number in range(1, len(blocks) + 1)]
    input_shape = image_shape(function, input_shape, sizes)
    num_classes = _checks.integer(function, "num_classes", num_classes, minimum=1)
    width = _checks.positive(function, "width", width, example=0.25)
    dropout = _checks.rate(function, "dropout", dropout)

    model = keras.Sequential([keras.Input(input_shape)], name=name)
    for block, (convolutions, filters) in enumerate(zip(blocks, FILTERS, strict=True), start=1):
        for conv in range(1, convolutions + 1):
            model.add(keras.layers.Conv2D(
                scaled(filters, width), 3, padding="same", activation="relu", name=f"block{block}_conv{conv}"
            ))  # fmt: skip
        model.add(keras.layers.MaxPooling2D(2, name=f"block{block}_pool"))
    model.add(keras.layers.Flatten(name="flatten"))
    for number, units in enumerate(DENSE, start=1):
        model.add(keras.layers.Dense(scaled(units, width), activation="relu", name=f"fc{number}"))
        if dropout:
            model.add(keras.layers.Dropout(dropout, name=f"drop{number}"))
    model.add(keras.layers.Dense(num_classes, name="predictions"))
    return model
