"""What each kind of layer does, as a table: how its multiply-adds are counted and where its units look.

A layer that is not in the table is opened, if it is made of others, or else named as unknown.
"""

from itertools import takewhile
from typing import NamedTuple

from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.report import costs, fields


class Rule(NamedTuple):
    """How to count one kind of layer."""

    macs: object  # function of a Step, see `costs`
    field: object  # function of a Step and what its inputs see, see `fields`


def _table(*rows):
    return {name: Rule(macs, field) for names, macs, field in rows for name in names.split()}


LAYERS = _table(
    # names in Keras or course_cnn.layers, multiply-adds, receptive field
    ("Conv1D Conv2D Conv3D", costs.convolution, fields.window),
    ("Conv1DTranspose Conv2DTranspose Conv3DTranspose", costs.transposed, fields.transposed),
    ("DepthwiseConv1D DepthwiseConv2D", costs.depthwise, fields.window),
    ("SeparableConv1D SeparableConv2D", costs.separable, fields.window),
    ("LearnedPooling2D", costs.learned_pooling, fields.window),
    ("MaxPooling1D MaxPooling2D MaxPooling3D", costs.free, fields.window),
    ("AveragePooling1D AveragePooling2D AveragePooling3D", costs.free, fields.window),
    ("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D", costs.free, fields.everywhere),
    ("GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D", costs.free, fields.everywhere),
    ("Dense", costs.dense, fields.last_axis),
    ("Add Subtract Multiply Average Maximum Minimum", costs.free, fields.merge),
    ("Concatenate", costs.free, fields.concatenate),
    ("ZeroPadding1D ZeroPadding2D ZeroPadding3D", costs.free, fields.zero_padding),
    ("Cropping1D Cropping2D Cropping3D", costs.free, fields.cropping),
    ("UpSampling1D UpSampling2D UpSampling3D", costs.free, fields.up_sampling),
    ("Flatten Reshape", costs.free, fields.reshape),
    ("Permute", costs.free, fields.permute),
    ("BatchNormalization LocalResponseNormalization", costs.free, fields.merge),
    ("GroupNormalization", costs.free, fields.everywhere_kept),
    ("LayerNormalization UnitNormalization RMSNormalization Softmax", costs.free, fields.over_axis),
    ("Activation", costs.free, fields.activation),
    ("ReLU LeakyReLU PReLU ELU Identity Rescaling Normalization", costs.free, fields.merge),
    ("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout", costs.free, fields.merge),
    ("GaussianDropout GaussianNoise ActivityRegularization StochasticDepth", costs.free, fields.merge),
    ("LayerScale CustomScaleLayer", costs.free, fields.merge),  # inside keras.applications
    ("Embedding", costs.free, fields.merge),
    ("Resizing", costs.free, fields.resizing),
    # These change images in training only:
    ("RandomFlip RandomRotation RandomZoom RandomTranslation RandomShear", costs.free, fields.unchanged),
    ("RandomBrightness RandomContrast RandomHue RandomSaturation RandomColorJitter", costs.free, fields.unchanged),
    ("RandomPerspective RandomErasing RandomGaussianBlur RandomColorShift Augmenter", costs.free, fields.unchanged),
)

OPERATIONS = _table(
    # names of keras.ops in a functional model
    ("Add Subtract Multiply Divide TrueDivide Maximum Minimum Power", costs.free, fields.merge),
    ("Negative Absolute Abs Exp Log Sqrt Square Clip Tanh Sigmoid Cast", costs.free, fields.merge),
    ("Relu Relu6 LeakyRelu Elu Selu Gelu Silu Softplus Softsign HardSigmoid HardSilu", costs.free, fields.merge),
    ("Concatenate", costs.free, fields.concatenate),
    ("MaxPool AveragePool", costs.free, fields.window),
    ("Reshape Squeeze ExpandDims", costs.free, fields.reshape),
    ("Transpose", costs.free, fields.transpose),
    ("Pad", costs.free, fields.pad),
    ("Split", costs.free, fields.split),
    ("Resize", costs.free, fields.resizing),
    ("GetItem", costs.free, fields.get_item),
    ("Mean Max Min Sum Amax Amin", costs.free, fields.reduce),
    ("Softmax LogSoftmax", costs.free, fields.over_axis),
)


def rule(layer):
    """Return the Rule of a layer or operation, or None.

    The first class of Keras or the course among its ancestors decides, unless one before it has a `call` of its own.
    """
    table = LAYERS if isinstance(layer, keras.layers.Layer) else OPERATIONS
    kinds = type(layer).__mro__
    own = list(takewhile(lambda kind: not _ours(kind), kinds))
    changed = any({"call", "__call__", "convolution_op"} & vars(kind).keys() for kind in own)
    return None if changed else table.get(kinds[len(own)].__name__)


def is_graph(layer):
    """Whether `layer` is a Sequential or functional model that runs its graph, and nothing else."""
    return isinstance(layer, (keras.Sequential, keras.Function)) and _home(layer, "call") == "keras"


def may_be_opened(layer):
    """Whether `layer` has a `call` that is not Keras's own, and no weights beside those of the layers inside."""
    if not isinstance(layer, keras.layers.Layer) or _home(layer, "call") == "keras":
        return False
    inside = {id(w) for part in layer._flatten_layers(include_self=False) for w in part.weights}
    return all(id(w) in inside for w in layer.weights)


def check_input(layer, inputs):
    """Raise ValueError if an input's axis has another size than the layer was built for."""
    specs = keras.tree.flatten(getattr(layer, "input_spec", None))
    for spec, x in zip(specs, inputs, strict=False):
        for axis, size in (getattr(spec, "axes", None) or {}).items():
            if size is not None and x.shape[axis] != size:
                raise ValueError(f"{layer.name} was built for {size} numbers on axis {axis} and gets {x.shape[axis]}")


def _ours(kind):
    return kind.__module__.split(".")[0] in ("keras", "course_cnn")


def _home(layer, method):
    """Name the package whose class defines `method` of this layer."""
    kind = next(kind for kind in type(layer).__mro__ if method in vars(kind))
    return kind.__module__.split(".")[0]
