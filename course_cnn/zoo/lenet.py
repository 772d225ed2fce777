"""LeNet-5, the network of 1998 that read cheques, and the later net that goes by the same name in many courses.

Sources: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11),
1998, section II.B; Gulli & Pal, "Deep Learning with Keras", 2017, chapter 3 (20 and 50 filters).
"""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.zoo._common import image_shape, scaled

# C convolution 5x5, S pooling 2x2 ("subsampling"), F fully connected: (name, number of feature maps or units).
TABLES = {
    "1998": {
        "name": "lenet5_1998", "input_shape": (32, 32, 1),
        "padding": "valid", "activation": "tanh", "pooling": keras.layers.AveragePooling2D,
        "layers": [("C1", 6), ("S2", 6), ("C3", 16), ("S4", 16), ("C5", 120), ("F6", 84)],
        "dense": ("C5", "F6"),  # C5 is a convolution in the paper: on 32x32 it sees all of S4, as a dense layer does
    },
    "20-50": {
        "name": "lenet_20_50", "input_shape": (28, 28, 1),
        "padding": "same", "activation": "relu", "pooling": keras.layers.MaxPooling2D,
        "layers": [("C1", 20), ("S2", 20), ("C3", 50), ("S4", 50), ("F5", 500)],
        "dense": ("F5",),
    },
}  # fmt: skip


def build_lenet5(variant="1998", *, input_shape=None, num_classes=10, width=1.0):
    """Build LeNet-5, or its remake with 20 and 50 filters. Not compiled; ends in logits.

    The net of 1998 as it is built today. In the paper each C3 map reads only some of the S2 maps (1,516 parameters
    instead of 2,416), the pooling layers learn a coefficient and a bias per map, tanh is scaled to 1.7159 tanh(2x/3)
    and the output compares with drawn prototypes (RBF units): 60,000 parameters there, 61,706 here.

    Args:
        variant: "1998", tanh and average pooling on 32x32; or "20-50", ReLU and max pooling on 28x28.
        input_shape: (h, w, c) in pixels and channels; None for the variant's own, (32, 32, 1) or (28, 28, 1). At least
            16x16 for "1998", 4x4 for "20-50". Values in [0, 1].
        num_classes: int >= 1, number of logits.
        width: number > 0, a factor on every layer's filters and units.

    Returns:
        `keras.Sequential` with layers named as in the paper: C1, S2, C3, S4, flatten, C5, F6 (or F5), output.

    Raises:
        ValueError: an unknown variant, or images too small for its layers.

    Example:
        >>> build_lenet5().count_params()
        61706
        >>> [layer.output.shape[1] for layer in build_lenet5().layers]
        [28, 14, 10, 5, 400, 120, 84, 10]
        >>> build_lenet5("20-50").count_params()
        1256080

    Source: LeCun et al., Proc. IEEE 1998, section II.B and figure 2.
    """
    table = TABLES[_checks.choice("build_lenet5", "variant", variant, tuple(TABLES))]
    num_classes = _checks.integer("build_lenet5", "num_classes", num_classes, minimum=1)
    width = _checks.positive("build_lenet5", "width", width, example=0.5)
    input_shape = table["input_shape"] if input_shape is None else input_shape
    input_shape = image_shape("build_lenet5", input_shape, list(_sizes(table)))
    model = keras.Sequential([keras.Input(input_shape)], name=table["name"])
    for name, size in table["layers"]:
        if name == table["dense"][0]:
            model.add(keras.layers.Flatten(name="flatten"))
        if name in table["dense"]:
            model.add(keras.layers.Dense(scaled(size, width), activation=table["activation"], name=name))
        elif name.startswith("C"):
            model.add(keras.layers.Conv2D(
                scaled(size, width), 5, padding=table["padding"], activation=table["activation"], name=name
            ))  # fmt: skip
        else:
            model.add(table["pooling"](2, name=name))
    model.add(keras.layers.Dense(num_classes, name="output"))
    return model


def _sizes(table):
    """Yield (name, kernel_size, stride, padding) of the layers that have a size."""
    for name, _ in table["layers"]:
        if name.startswith("S"):
            yield name, 2, 2, 0
        elif name not in table["dense"]:
            yield name, 5, 1, table["padding"]
