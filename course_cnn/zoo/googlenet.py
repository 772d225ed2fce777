"""GoogLeNet: 22 layers with weights, nine Inception modules, and two auxiliary heads for training.

Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015.
"""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.layers import Inception, LocalResponseNormalization
from course_cnn.zoo._common import image_shape, scaled

# Table 1 of the paper, the Inception rows: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
POOL_BEFORE = {"4a": "pool3", "5a": "pool4"}
HEAD_AFTER = {"4a": "aux1", "4d": "aux2"}
LOSS_WEIGHTS = {"output": 1.0, "aux1": 0.3, "aux2": 0.3}  # section 5
LRN = {"depth_radius": 2, "k": 1.0, "alpha": 2e-5, "beta": 0.75}  # BVLC's, over 5 channels; the paper gives no values


def build_googlenet(
    *, auxiliary_heads=True, normalization="lrn", input_shape=(224, 224, 3), num_classes=1000, width=1.0, dropout=0.4
):
    """Build GoogLeNet. Not compiled; ends in logits, three times over with the auxiliary heads.

    The heads are small classifiers on the modules 4a and 4d, there to send gradient into the early layers. In training
    their losses count 0.3 each; afterwards they are cut off:

        weights = {"output": 1.0, "aux1": 0.3, "aux2": 0.3}
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss=dict.fromkeys(weights, loss), loss_weights=weights)
        model.train_on_batch(x, dict.fromkeys(weights, y))
        classifier = keras.Model(model.input, model.output["output"])      # shares the weights

    Args:
        auxiliary_heads: bool. False builds the classifier alone, one output, which `training.fit` can train.
        normalization: "lrn" for local response normalisation before and after conv2 as in the paper's figure 3; None.
        input_shape: (h, w, c) in pixels and channels; with auxiliary heads at least 65x65.
        num_classes: int >= 1, number of logits.
        width: number > 0, a factor on every layer's filters and units.
        dropout: number in [0, 1), the share of units dropped before the last layer. The heads drop 0.7 as in the
            paper, or nothing for `dropout=0`.

    Returns:
        `keras.Model`. Its output is a dict of logits, "output", "aux1" and "aux2"; without heads one tensor of logits.

    Raises:
        ValueError: images too small for the heads, or an argument out of its range.

    Example:
        >>> model = build_googlenet(input_shape=(96, 96, 3), num_classes=10, width=1 / 8)
        >>> {name: logits.shape for name, logits in model.output.items()}
        {'output': (None, 10), 'aux1': (None, 10), 'aux2': (None, 10)}
        >>> model.get_layer("inception_3a_output").output.shape      # (64 + 128 + 32 + 32) / 8 channels
        (None, 12, 12, 32)

    Source: Szegedy et al., CVPR 2015, table 1, figure 3 and section 5.
    """
    function = "build_googlenet"
    num_classes = _checks.integer(function, "num_classes", num_classes, minimum=1)
    width = _checks.positive(function, "width", width, example=0.25)
    dropout = _checks.rate(function, "dropout", dropout)
    _checks.choice(function, "normalization", normalization, ("lrn", None))
    _checks.choice(function, "auxiliary_heads", auxiliary_heads, (True, False))
    halvings = [(name, 3, 2, "same") for name in ("conv1", "pool1", "pool2", "pool3")]
    input_shape = image_shape(function, input_shape, [*halvings, ("aux1_pool", 5, 3, 0)] if auxiliary_heads else ())

    outputs = {}
    x = inputs = keras.Input(input_shape)
    x = _conv(x, scaled(64, width), 7, "conv1", strides=2)
    x = _pool(x, "pool1")
    x = LocalResponseNormalization(**LRN, name="norm1")(x) if normalization else x
    x = _conv(x, scaled(64, width), 1, "conv2_reduce")
    x = _conv(x, scaled(192, width), 3, "conv2")
    x = LocalResponseNormalization(**LRN, name="norm2")(x) if normalization else x
    x = _pool(x, "pool2")
    for row, filters in TABLE.items():
        x = _pool(x, POOL_BEFORE[row]) if row in POOL_BEFORE else x
        # `call` instead of a plain call: the six convolutions then stand in the network under their own names.
        x = Inception([scaled(f, width) for f in filters], name=f"inception_{row}").call(x)
        if auxiliary_heads and row in HEAD_AFTER:
            name = HEAD_AFTER[row]
            outputs[name] = _head(x, name, num_classes, width, 0.7 if dropout else 0.0)
    x = keras.layers.GlobalAveragePooling2D(name="pool5")(x)  # 7x7 places in the paper
    x = keras.layers.Dropout(dropout, name="drop")(x) if dropout else x
    output = keras.layers.Dense(num_classes, name="output")(x)
    return keras.Model(inputs, {"output": output, **outputs} if outputs else output, name="googlenet")


def _conv(x, filters, kernel_size, name, strides=1):
    return keras.layers.Conv2D(filters, kernel_size, strides=strides, padding="same", activation="relu", name=name)(x)


def _pool(x, name):
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)


def _head(x, name, num_classes, width, dropout):
    """Add an auxiliary classifier (section 5): 5x5 average pooling, 1x1 convolution, two dense layers."""
    x = keras.layers.AveragePooling2D(5, strides=3, name=f"{name}_pool")(x)
    x = _conv(x, scaled(128, width), 1, f"{name}_conv")
    x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    x = keras.layers.Dense(scaled(1024, width), activation="relu", name=f"{name}_fc")(x)
    x = keras.layers.Dropout(dropout, name=f"{name}_drop")(x) if dropout else x
    return keras.layers.Dense(num_classes, name=name)(x)
