"""Ideas of the course as Keras layers: they train, save and load in any Keras 3 model. Channels last, no switches.

Written with `keras.ops`, so a model does not notice which backend runs it. `BatchNormalization` uses a kernel of
TensorFlow's where it can, and `keras.ops` elsewhere.
"""

from course_cnn.layers.blocks import ConvBlock, IdentityShortcut, ResidualBlock
from course_cnn.layers.convolution import Conv2D
from course_cnn.layers.inception import Inception
from course_cnn.layers.local_response import LocalResponseNormalization
from course_cnn.layers.normalization import BatchNormalization
from course_cnn.layers.pooling import LearnedPooling2D

__all__ = [
    "BatchNormalization",
    "Conv2D",
    "ConvBlock",
    "IdentityShortcut",
    "Inception",
    "LearnedPooling2D",
    "LocalResponseNormalization",
    "ResidualBlock",
]
