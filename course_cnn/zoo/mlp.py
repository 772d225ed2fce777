"""The multilayer perceptron, which LeNet-5 was measured against in 1998 and which every lecture measures against.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11),
1998, section III.C, "two-hidden-layer fully connected multilayer neural network".
"""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.zoo._common import image_shape, scaled

HIDDEN = (300, 100)  # the paper's 28x28-300-100-10


def build_mlp(hidden=HIDDEN, *, input_shape=(28, 28, 1), num_classes=10, activation="relu", width=1.0):
    """Build a network of dense layers only: every unit sees every pixel. Not compiled; ends in logits.

    Args:
        hidden: sequence of ints >= 1, units of the hidden layers, the first one first; () for softmax regression. An
            int is one hidden layer.
        input_shape: (h, w, c) in pixels and channels.
        num_classes: int >= 1, number of logits.
        activation: str or function of Keras's; the paper's was a scaled tanh.
        width: float > 0, a factor on the hidden units.

    Returns:
        `keras.Sequential` with layers flatten, hidden1, hidden2, …, output.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> build_mlp().count_params()      # 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
        266610
        >>> build_mlp(hidden=()).count_params()
        7850

    Source: LeCun et al., Proc. IEEE 1998, section III.C.
    """
    function = "build_mlp"
    hidden = hidden if isinstance(hidden, (tuple, list)) else (hidden,)
    hidden = [_checks.integer(function, "hidden", units, minimum=1) for units in hidden]
    num_classes = _checks.integer(function, "num_classes", num_classes, minimum=1)
    width = _checks.positive(function, "width", width, 0.5)
    model = keras.Sequential([keras.Input(image_shape(function, input_shape))], name="mlp")
    model.add(keras.layers.Flatten(name="flatten"))
    for i, units in enumerate(hidden, start=1):
        model.add(keras.layers.Dense(scaled(units, width), activation=activation, name=f"hidden{i}"))
    model.add(keras.layers.Dense(num_classes, name="output"))
    return model
