"""Follow a model call by call, with shapes only: which layer reads which tensors, branch after branch."""

import re
from collections import Counter
from typing import NamedTuple

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.report import known


class Step(NamedTuple):
    """One call of one layer."""

    name: str  # with the models and blocks around it: "backbone/conv1"
    call: int  # 1 for the first call of this layer, 2 for the second, …
    layer: object  # a Keras layer, or one of keras.ops
    arguments: tuple  # (args, kwargs) with the tensors below inside
    inputs: list  # tensors read, as `keras.KerasTensor`: shape and dtype, no numbers
    outputs: list  # tensors made
    rule: object  # `known.Rule`, or None for a layer nobody has described


def trace(model, shapes):
    """Follow `model`, a `keras.Sequential` or functional model, on inputs of these `shapes` (batch axis first).

    Nested models, and layers made of layers, are entered: their parts stand in the list under "outer/inner". Nothing is
    computed, and the model's own graph is left as it was.

    Returns:
        (inputs, steps, outputs): a list of tensors, a list of Step, a list of tensors.
    """
    walk = _Walk()
    inputs = [_tensor(shape, x.dtype) for shape, x in zip(shapes, model.inputs, strict=True)]
    return inputs, walk.steps, walk.graph(model, inputs, "")


class _Walk:
    def __init__(self):
        self.steps, self.calls = [], Counter()

    def graph(self, model, tensors, prefix):
        """Walk through a model, or what a layer does, on `tensors`; return the output tensors."""
        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                tensors = self.call(layer, (tensors[0],), {}, prefix)
            return tensors
        ours = dict(zip(map(id, model.inputs), tensors, strict=True))
        order = in_order(model)
        titles = {} if isinstance(model, keras.Model) else _titles(order)
        for node in order:
            args, kwargs = keras.tree.map_structure(
                lambda x: ours.get(id(x), x), (node.arguments.args, node.arguments.kwargs)
            )
            same = all(ours[id(x)].shape == x.shape for x in node.arguments.keras_tensors)
            known_outputs, title = node.outputs if same else None, titles.get(id(node))
            made = self.call(node.operation, args, kwargs, prefix, known_outputs, title)
            ours.update(zip(map(id, node.outputs), made, strict=True))
        return [ours[id(x)] for x in model.outputs]

    def call(self, layer, args, kwargs, prefix, outputs=None, name=None):
        """Record one call, or enter the layer and record the calls inside; return the output tensors.

        `outputs` are tensors like those to be made, when the model's own graph has them already.
        """
        name = f"{prefix}{name or layer.name}"
        inputs = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        if known.is_graph(layer):
            return self.graph(layer, inputs, f"{name}/")
        rule = known.rule(layer)
        inside = _open(layer, args, kwargs) if rule is None else None
        if inside is not None:
            return self.graph(inside, inputs, f"{name}/")
        if outputs is None:
            known.check_input(layer, inputs)
            outputs = keras.tree.flatten(layer.compute_output_spec(*args, **kwargs))
        outputs = [_tensor(x.shape, x.dtype) for x in outputs]
        if any(None in x.shape[1:] for x in outputs):
            raise _checks.argument_error(
                "summarize", f"the layer {name} does not say how large its output is",
                "Give it a compute_output_shape without None", **{"output.shape": tuple(outputs[0].shape)},
            )  # fmt: skip
        self.calls[id(layer)] += 1
        self.steps.append(Step(name, self.calls[id(layer)], layer, (args, kwargs), inputs, outputs, rule))
        return outputs


def in_order(function):
    """Return the calls of a functional model so that each follows those it reads, one branch after the other."""
    makers = {id(x): node for nodes in function._nodes_by_depth.values() for node in nodes for x in node.outputs}
    ready, order, wanted = {id(x) for x in function.inputs}, [], list(reversed(function.outputs))
    while wanted:  # depth first; a recursion would be too deep for a ResNet-1202
        x = wanted[-1]
        missing = [] if id(x) in ready else [y for y in makers[id(x)].arguments.keras_tensors if id(y) not in ready]
        wanted.extend(reversed(missing))
        if not missing:
            wanted.pop()
            if id(x) not in ready:
                order.append(makers[id(x)])
                ready.update(map(id, makers[id(x)].outputs))
    return order


def _titles(order):
    """Name the operations of an opened layer: Keras numbers them anew each time the layer is opened."""
    titles, seen = {}, Counter()
    for node in order:
        if not isinstance(node.operation, keras.layers.Layer):
            word = re.sub(r"_\d+$", "", node.operation.name)
            titles[id(node)] = f"{word}_{seen[word]}" if seen[word] else word
            seen[word] += 1
    return titles


def _tensor(shape, dtype):
    return keras.KerasTensor(shape, dtype)


def _open(layer, args, kwargs):
    """Return what a layer made of layers does, as a `keras.Function`; None if it cannot be looked into.

    Its `call` runs on tensors without numbers, and each layer inside notes that it was called. These notes are wiped
    out again, so that the model is as before.
    """
    if not known.may_be_opened(layer):
        return None
    parts = list(layer._flatten_layers(include_self=False))
    notes = [(notes, len(notes)) for part in parts for notes in (part._inbound_nodes, part._outbound_nodes)]
    fresh = {}

    def copy(x):
        if isinstance(x, keras.KerasTensor):
            return fresh.setdefault(id(x), _tensor(x.shape, x.dtype))
        return x

    try:
        args, kwargs = keras.tree.map_structure(copy, (args, kwargs))
        return keras.Function(list(fresh.values()), keras.tree.flatten(layer.call(*args, **kwargs)))
    except Exception:  # its code may do anything that needs numbers, and fail with anything
        return None
    finally:
        for calls, before in notes:
            del calls[before:]
