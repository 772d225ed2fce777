"""Receptive fields as measured: which pixels the gradient of a unit reaches.

Source: Luo, Li, Urtasun & Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
2016; Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019.
"""

import numbers

import numpy as np

from course_cnn import _checks
from course_cnn._tensorflow import tf

# isort: split
import keras


def gradient_field(model, layer=None, *, unit=None, images=8, seed=0):
    """Measure how strongly each pixel moves one unit: the mean of |d unit / d pixel| over images.

    The model is taken as it is, at inference. A ReLU that is off and a pixel that loses in max pooling pass no
    gradient, and which these are changes with the image; hence the mean over several images. What is 0 in all of them
    may still lie inside the receptive field. A fresh model shows the effective field of its random weights, a trained
    one that of what it has learned.

    Args:
        model: functional or Sequential `keras.Model` with one input (n, h, w, c).
        layer: name of one of `model.layers`, or the layer, with an output (n, h, w, c); None for the last such layer.
        unit: (row, column) of the unit; None for the central one, (h // 2, w // 2). Its channels are added up.
        images: int >= 1, how many random images, independent standard normal pixels; or an array (n, h, w, c).
        seed: int, for the random images.

    Returns:
        float64 array (h, w) of the input's size, >= 0: mean over the images, sum over the input's channels.

    Raises:
        ValueError: an argument is out of its range, the layer is not in the model or has no image as output.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((9, 9, 1)), keras.layers.Conv2D(4, 3), keras.layers.Conv2D(4, 3)])
        >>> reach(gradient_field(model))
        (5, 5)

    Source: Luo, Li, Urtasun & Zemel, "Understanding the effective receptive field in deep convolutional neural
    networks", 2016, section 2.
    """
    layer = _layer(model, layer)
    images = _images(model, images, seed)
    part = keras.Model(model.inputs, layer.output)
    h, w = part.compute_output_shape(images.shape)[1:3]
    row, column = _unit(unit, h, w)
    total = np.zeros(images.shape[1:3])
    for image in images:  # one at a time: memory does not grow with their number
        x = tf.convert_to_tensor(image[None], keras.config.floatx())
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(part(x, training=False)[0, row, column])
        total += np.abs(tape.gradient(y, x).numpy()[0].astype("float64")).sum(axis=-1)
    return total / len(images)


def reach(field, *, threshold=0.0):
    """Say how many rows and columns of a measured field lie between its first and last noticeable pixel.

    Args:
        field: float array (h, w), from `gradient_field`.
        threshold: a share of the largest value, in [0, 1); pixels above it are noticeable. 0: all that are not 0.

    Returns:
        (rows, columns), ints, in pixels; (0, 0) if the field is 0 everywhere.

    Example:
        >>> reach(np.array([[0, 0, 0, 0], [0, 1.0, 0.2, 0]]))
        (1, 2)
        >>> reach(np.array([[0, 0, 0, 0], [0, 1.0, 0.2, 0]]), threshold=0.5)
        (1, 1)
    """
    threshold = _checks.rate("reach", "threshold", threshold)
    field = np.asarray(field)
    _checks.rank("reach", "field", field, "(h, w)")
    seen = field > threshold * field.max()
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return (int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)) if len(rows) else (0, 0)


def _layer(model, layer):
    """Return the layer meant, one with an image as output."""
    if layer is None:
        return [part for part in model.layers if len(part.output.shape) == 4][-1]
    return model.get_layer(layer) if isinstance(layer, str) else layer


def _images(model, images, seed):
    """Return an array (n, h, w, c): those given, or as many random ones."""
    if isinstance(images, numbers.Integral):
        shape = model.inputs[0].shape[1:]
        return np.random.default_rng(seed).normal(size=(images, *shape)).astype("float32")
    return np.asarray(images)


def _unit(unit, h, w):
    return (h // 2, w // 2) if unit is None else unit
