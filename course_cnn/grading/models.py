"""A Keras model as an answer: its structure crosses as plain data, its predictions and weights as arrays.

The description is made in the student's process and could be forged. `ModelAnswer.recompute` is what makes it binding:
it computes the network that the description and the weights say, in NumPy, in the grader; a check that finds
`predict(x)` equal to `recompute(x)` on images it has just drawn knows that the structure shown is the one that
computes.
"""

import math
from dataclasses import dataclass

import numpy as np

from course_cnn.grading.checks import Failed

LARGEST = 20_000_000  # numbers in one layer's output
PLAIN = (bool, int, float, str, type(None))


def describe(model):
    """Describe a Keras model as plain data; called in the student's process."""
    nodes = _nodes(model)
    layers = []
    for layer in (getattr(model, "_functional", None) or model).layers:
        own = [node for node in layer._inbound_nodes if id(node) in nodes]
        layers.append({
            "kind": type(layer).__name__, "name": layer.name, "config": _plain(layer.get_config()),
            "output_shape": _shape(layer), "params": layer.count_params(), "uses": len(own),
            "inputs": [parent.operation.name for node in own for parent in node.parent_nodes],
            "weights": [_place(model, weight) for weight in layer.weights],
        })  # fmt: skip
    return {
        "layers": layers, "input_shape": _plain(getattr(model, "input_shape", None)),
        "output_shape": _plain(getattr(model, "output_shape", None)), "params": model.count_params(),
        "trainable_params": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }  # fmt: skip


def _nodes(model):
    """The nodes of the graph that lead to the model's outputs; none where it has no graph."""
    histories = [tensor._keras_history for tensor in getattr(model, "outputs", None) or ()]
    stack, found = [history.operation._inbound_nodes[history.node_index] for history in histories], {}
    while stack:
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            stack += node.parent_nodes
    return found


def _place(model, weight):
    return next(i for i, other in enumerate(model.weights) if other is weight)


def _shape(layer):
    try:
        return _plain(layer.output.shape)
    except (AttributeError, ValueError):  # no output yet, or several
        return None


def _plain(value):
    """Keep what is plain of a configuration; name the rest."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"


@dataclass(frozen=True)
class Layer:
    """One layer of a model answer.

    Attributes:
        kind: str, the class's name, such as `"Conv2D"`.
        name: str.
        config: dict of plain data, Keras's `get_config()`.
        output_shape: list of int and None (the batch), or None where it is not known.
        params: int, numbers in its weights.
        inputs: list of str, names of the layers it reads.
    """

    kind: str
    name: str
    config: dict
    output_shape: list | None
    params: int
    inputs: list
    uses: int
    weights: list


class ModelAnswer:
    """A model that an answer returned.

    Args:
        ask: callable (operation, **message) -> value, the way to the student's process.
        described: dict, what `describe` made of the model.

    Attributes:
        layers: list of `Layer`, in order; kinds: their kinds without InputLayer.
        params, trainable_params: int, as the model counts them.
        input_shape, output_shape: list of int and None (the batch).
    """

    def __init__(self, ask, described):
        self._ask = ask
        try:
            self.number = described["keras model"]
            self.layers = [Layer(**layer) for layer in described["layers"]]
            self.params, self.trainable_params = int(described["params"]), int(described["trainable_params"])
            self.input_shape, self.output_shape = described["input_shape"], described["output_shape"]
        except (KeyError, TypeError, ValueError):
            raise Failed("What came back looks like a Keras model but is none.") from None

    @property
    def kinds(self):
        return [layer.kind for layer in self.layers if layer.kind != "InputLayer"]

    @property
    def weights(self):
        """The model's weights, a list of arrays in Keras's order."""
        weights = self._ask("weights", model=self.number)
        if not isinstance(weights, list) or not all(isinstance(weight, np.ndarray) for weight in weights):
            raise Failed("The weights of your model could not be read.")
        return weights

    def predict(self, x):
        """Return the model's output for a batch, in inference mode, as an array."""
        y = self._ask("predict", model=self.number, x=np.asarray(x, "float32"))
        if not isinstance(y, np.ndarray):
            raise Failed("Your model returns something other than one array.")
        return y

    def recompute(self, x):
        """Return what the structure and the weights say the model computes, by NumPy, in the grader.

        Raises:
            Failed: a layer is of a kind that is not known here, or is used more than once.
        """
        weights = self.weights
        values, last = {}, np.asarray(x, "float64")
        for layer in self.layers:
            if layer.uses > 1 and layer.kind != "InputLayer":
                raise Failed(f"The layer {layer.name!r} is used {layer.uses} times; use each layer once.")
            if layer.kind not in FORWARD:
                raise Failed(f"The layer {layer.name!r} is a {layer.kind}, which has no place in this network.")
            inputs = [values.get(name, last) for name in layer.inputs] or [last]
            try:
                own = [np.asarray(weights[i], "float64") for i in layer.weights]
                if _size(layer.kind, inputs, layer.config, own) > LARGEST:
                    raise Failed(
                        f"The layer {layer.name!r} ({layer.kind}) computes more numbers than any layer here needs."
                    )
                last = values[layer.name] = FORWARD[layer.kind](inputs, layer.config, own)
            except Failed:
                raise
            except Exception as error:  # a description that does not fit its own weights
                raise Failed(
                    f"The layer {layer.name!r} ({layer.kind}) does not compute what it says it is ({error})."
                ) from None
        return last


def _size(kind, inputs, config, weights):
    """The most numbers that a layer computes at once: a kilobyte of description must not fill the grader's memory."""
    x = inputs[0]
    if kind == "Dense":
        return x.size // x.shape[-1] * weights[0].shape[-1]
    if kind == "Conv2D":
        return math.prod(x.shape[:3]) * max(x.shape[3], weights[0].shape[-1])
    if kind == "ZeroPadding2D":
        (top, bottom), (left, right) = config["padding"]
        return x.shape[0] * (x.shape[1] + top + bottom) * (x.shape[2] + left + right) * x.shape[3]
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        return x.size * _one(config["pool_size"]) ** 2
    return math.prod(np.broadcast_shapes(*(one.shape for one in inputs)))


def _convolve(inputs, config, weights):
    from course_cnn import scratch

    if config["data_format"] != "channels_last" or config["groups"] != 1:
        raise Failed("Use channels last and no groups.")
    kernel, *bias = weights
    options = {
        "padding": config["padding"],
        "dilation": _one(config["dilation_rate"]),
        "stride": _one(config["strides"]),
    }
    y, _ = scratch.conv2d_forward(inputs[0], kernel, *bias, **options)
    return _activate(y, config)


def _dense(inputs, config, weights):
    kernel, *bias = weights
    return _activate(inputs[0] @ kernel + (bias[0] if bias else 0), config)


def _pool(kind):
    def forward(inputs, config, weights):
        from course_cnn import scratch

        pool = {"max": scratch.max_pool2d_forward, "average": scratch.avg_pool2d_forward}[kind]
        size, stride = _one(config["pool_size"]), _one(config["strides"])
        return pool(inputs[0], size, stride=stride, padding=config["padding"])[0]

    return forward


def _normalize(inputs, config, weights):
    gamma, beta, mean, variance = _affine(config, weights)
    return gamma * (inputs[0] - mean) / np.sqrt(variance + config["epsilon"]) + beta


def _affine(config, weights):
    weights = list(weights)
    gamma = weights.pop(0) if config["scale"] else 1.0
    beta = weights.pop(0) if config["center"] else 0.0
    return gamma, beta, *weights


def _activate(y, config):
    name = config.get("activation") or "linear"
    if name not in ACTIVATIONS:
        raise Failed(f"The activation {name!r} has no place in this network.")
    return ACTIVATIONS[name](y)


def _softmax(y):
    e = np.exp(y - y.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _one(pair):
    """Return the one size of a square setting; Keras keeps (3, 3) where a 3 was meant."""
    sizes = set(pair) if isinstance(pair, list | tuple) else {pair}
    if len(sizes) != 1:
        raise Failed(f"Use the same size along both axes, not {pair}.")
    return sizes.pop()


def _pad(inputs, config, weights):
    return np.pad(inputs[0], [(0, 0), *map(tuple, config["padding"]), (0, 0)])


ACTIVATIONS = {
    "linear": lambda y: y, "relu": lambda y: np.maximum(y, 0), "tanh": np.tanh,
    "sigmoid": lambda y: 1 / (1 + np.exp(-y)), "softmax": _softmax,
}  # fmt: skip

FORWARD = {
    "InputLayer": lambda inputs, config, weights: inputs[0],
    "Conv2D": _convolve,
    "Dense": _dense,
    "MaxPooling2D": _pool("max"),
    "AveragePooling2D": _pool("average"),
    "GlobalAveragePooling2D": lambda inputs, config, weights: inputs[0].mean(axis=(1, 2), keepdims=config["keepdims"]),
    "BatchNormalization": _normalize,
    "Activation": lambda inputs, config, weights: _activate(inputs[0], config),
    "ReLU": lambda inputs, config, weights: np.maximum(inputs[0], 0),
    "Flatten": lambda inputs, config, weights: inputs[0].reshape(len(inputs[0]), -1),
    "Add": lambda inputs, config, weights: sum(inputs),
    "Dropout": lambda inputs, config, weights: inputs[0],
    "ZeroPadding2D": _pad,
    "Rescaling": lambda inputs, config, weights: inputs[0] * config["scale"] + config["offset"],
}
