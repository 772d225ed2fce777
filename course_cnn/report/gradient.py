"""Receptive fields as measured: which pixels the gradient of a unit reaches.

Source: Luo, Li, Urtasun & Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
2016; Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019.
"""

import numbers

import numpy as np

from course_cnn import _checks, shapes
from course_cnn._tensorflow import tf

# isort: split
import keras

from course_cnn.report import known
from course_cnn.report.trace import in_order


def gradient_field(model, layer=None, *, unit=None, images=8, seed=0):
    """Measure how strongly each pixel moves one unit: the mean of |d unit / d pixel| over images.

    The model is taken as it is, at inference. A ReLU that is off and a pixel that loses in max pooling pass no
    gradient, and which these are changes with the image; hence the mean over several images. What is 0 in all of them
    may still lie inside the receptive field. A fresh model shows the effective field of its random weights, a trained
    one that of what it has learned.

    Args:
        model: functional or Sequential `keras.Model` with one input (n, h, w, c).
        layer: one of `model.layers`, or its name, with an output (n, h, w, c); None for the last such layer. Of a
            shared layer it is the first call.
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
    part = _part(model, layer)
    images = _images(model, images, seed)
    h, w = part.compute_output_shape(images.shape)[1:3]
    row, column = _unit(unit, h, w)
    dtype = keras.config.floatx()

    def gradient(image):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            y = tf.reduce_sum(part(image, training=False)[0, row, column])
        return tf.reduce_sum(tf.abs(tape.gradient(y, image)[0]), axis=-1)

    # as a graph, which leaves out the gradients of the weights; traced here, as calls in a loop would warn of retracing
    gradient = tf.function(gradient).get_concrete_function(tf.TensorSpec((1, *images.shape[1:]), dtype))
    images = tf.convert_to_tensor(images, dtype)
    total = sum(gradient(image[None]).numpy().astype("float64") for image in images)  # one at a time, to save memory
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


def _part(model, layer):
    """Return the model from its input up to the layer meant."""
    if not known.is_graph(model) or len(getattr(model, "inputs", None) or ()) != 1:
        raise _checks.argument_error(
            "gradient_field", "`model` must be a functional or Sequential model with one input, built",
            "Begin it with keras.Input((h, w, c)), or pass keras.Model(one_input, output)",
            **{"type(model)": type(model).__name__},
        )  # fmt: skip
    tensors = {}  # name of a layer -> its output in this model; the layer may have been called elsewhere, too
    for node in in_order(getattr(model, "_functional", model)):
        if isinstance(node.operation, keras.layers.Layer) and [len(x.shape) for x in node.outputs] == [4]:
            tensors.setdefault(node.operation.name, node.outputs[0])
    if layer is None and tensors:
        layer = list(tensors)[-1]
    name = getattr(layer, "name", layer)
    if name not in tensors:
        rule = "`layer` must be one of the model's own layers, with an image as output"
        example = f"layer={list(tensors)[-1]!r}" if tensors else "a model with a convolution or pooling layer"
        raise _checks.argument_error("gradient_field", rule, f"Use for example {example}", layer=name)
    return keras.Model(model.inputs, tensors[name])


def _images(model, images, seed):
    """Return an array (n, h, w, c): those given, or as many random ones."""
    shape = tuple(model.inputs[0].shape[1:])
    if isinstance(images, numbers.Integral):
        images = _checks.integer("gradient_field", "images", images, minimum=1)
        if None in shape:
            example = tuple(64 if size is None else size for size in shape)
            raise _checks.argument_error(
                "gradient_field", "the size of the images must be known",
                f"Pass images, for example images=np.random.normal(size={(images, *example)})",
                **{"model.input_shape": model.input_shape},
            )  # fmt: skip
        return np.random.default_rng(seed).normal(size=(images, *shape))
    images = np.asarray(images)
    if images.ndim != 4 or any(known not in (None, size) for known, size in zip(shape, images.shape[1:], strict=True)):
        raise _checks.argument_error(
            "gradient_field", "`images` must be a number of images, or an array (n, h, w, c) that the model takes",
            "Use images=8 for random ones, image[None] for a single one",
            **{"images.shape": images.shape, "model.input_shape": model.input_shape},
        )  # fmt: skip
    return images


def _unit(unit, h, w):
    """Return (row, column) of a unit that exists."""
    if unit is None:
        return h // 2, w // 2
    unit = tuple(unit) if np.iterable(unit) else (unit,)
    row, column = shapes.per_axis_ints("gradient_field", "unit", unit, 2, minimum=0)
    if row >= h or column >= w:
        raise _checks.argument_error(
            "gradient_field", f"`unit` must lie among the {h} x {w} units of the layer", f"Use unit={(h // 2, w // 2)}",
            unit=unit,
        )  # fmt: skip
    return row, column
