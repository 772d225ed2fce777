"""The stages of a network, which of them train, and a new head for another task.

A stage is what lies between two halvings of the resolution: its layers see the image at one scale. Early stages hold
edges and colours that serve any task, late ones what only the first task needed; so one thaws from the end.
"""

import re
from collections import Counter, defaultdict
from typing import NamedTuple

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras


def stages(model):
    """Name the stages of a network, from the image to the head.

    A layer belongs to the resolution of its output. Layers behind a Flatten, without a resolution, are the stage
    "dense". Stages are called as most of their layers are ("conv3" of conv3_block1_1_conv, "block5" of block5_conv2);
    where one of them has no such name, they are all numbered: "stage1", "stage2", … A FeatureExtractor brings its own.

    Args:
        model: `keras.Sequential` or functional Keras model, also with models or a `FeatureExtractor` inside.

    Returns:
        tuple of str. The head, a last Dense layer, is no stage, and layers without weights to train are in none.

    Raises:
        ValueError: the model is not of that kind, or not built yet.

    Example:
        >>> from course_cnn import zoo
        >>> stages(zoo.build_resnet(18, input_shape=(64, 64, 3)))
        ('conv1', 'conv2', 'conv3', 'conv4', 'conv5')

    Source: He et al., "Deep residual learning for image recognition", 2016, table 1 (stages by output size).
    """
    return tuple(_survey("stages", model).stages)


def freeze(model, stages=None):
    """Keep the weights of these stages as they are in training. The head always trains.

    Batch norm in a frozen stage uses its stored mean and variance, as at inference, and leaves them alone. Dropout in
    it still drops; a frozen `FeatureExtractor` has none.

    The model must be compiled again, and is reset so that `fit` asks for it if anything changed: a model that was
    trained before would go on in silence with the layers it was traced with. `training.fit` compiles by itself. Call
    this on the model that you fit: a larger one around it is not found, and not reset.

    Args:
        model: as for `stages`.
        stages: None for everything but the head (a model that does not end in a Dense layer has none, and is frozen as
            a whole); int >= 1, so many first stages; "all"; or names of stages. The others are left as they are.

    Returns:
        the same model.

    Raises:
        ValueError: the model is of another kind, or has no such stage.

    Example:
        >>> from course_cnn import zoo
        >>> model = freeze(zoo.build_cifar_resnet(8))
        >>> [w.path for w in model.trainable_weights]
        ['predictions/kernel', 'predictions/bias']

    Source: Keras guide "Transfer learning & fine-tuning".
    """
    survey = _survey("freeze", model)
    chosen = survey.stages if stages is None else _chosen("freeze", survey, stages)
    _switch(model, survey, chosen, False, False)
    return model


def unfreeze(model, stages=1, *, train_statistics=False):
    """Let the weights of these stages train again, as well as the head.

    Batch norm in these stages stays as it was stored: the mean and variance of a few new images would otherwise replace
    those of the many that the weights were made for. Its scale and shift stay, too, but not those in a SavedModel.

    The model must be compiled again: see `freeze`. Take a learning rate ten times smaller or less, as `plan` does.

    Args:
        model: as for `stages`.
        stages: int >= 1, so many last stages; "all"; or names of stages. The others are left as they are: `freeze` the
            model first if it was never frozen.
        train_statistics: True to let batch norm train in these stages, with the statistics of each batch: for large
            batches of images unlike those of the first training.

    Returns:
        the same model.

    Raises:
        ValueError: the model is of another kind, has no such stage, or holds an extractor that cannot be trained.

    Example:
        >>> from course_cnn import zoo
        >>> model = unfreeze(freeze(zoo.build_resnet(18, input_shape=(64, 64, 3))), 2)
        >>> sorted({w.path.split("_")[0] for w in model.trainable_weights})
        ['conv4', 'conv5', 'predictions/bias', 'predictions/kernel']

    Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014; Keras guide "Transfer
    learning & fine-tuning", section "Important notes about BatchNormalization layer".
    """
    survey = _survey("unfreeze", model)
    _checks.choice("unfreeze", "train_statistics", train_statistics, (False, True))
    _switch(model, survey, _chosen("unfreeze", survey, stages), True, train_statistics)
    return model


def replace_head(model, num_classes, *, name="predictions", seed=None):
    """Make a model for other classes: the same body, and a new last Dense layer with one logit per class.

    Dropout in front of the head stays, softmax behind it goes: in this course it is part of the loss. What trains
    stays as it was; the new head always does.

    Args:
        model: `keras.Sequential` or functional Keras model with one output that comes from a Dense layer.
        num_classes: int >= 1, number of logits.
        name: str, of the new layer.
        seed: int for the same first weights every time, or None.

    Returns:
        a new model, not compiled. It SHARES its body with the old one: training one of them trains the other.

    Raises:
        ValueError: the model is of another kind, has several outputs, or its output does not come from a Dense layer.

    Example:
        >>> from course_cnn import zoo
        >>> model = zoo.build_resnet(18, input_shape=(64, 64, 3))
        >>> model.output_shape, replace_head(model, 3).output_shape
        ((None, 1000), (None, 3))

    Source: Donahue et al., "DeCAF: a deep convolutional activation feature for generic visual recognition", 2014.
    """
    function = "replace_head"
    num_classes = _checks.integer(function, "num_classes", num_classes, minimum=1)
    seed = seed if seed is None else _checks.integer(function, "seed", seed, minimum=0)
    graph = _graph(function, model)
    if len(graph.outputs) > 1:
        raise _checks.argument_error(
            function, f"the model has {len(graph.outputs)} outputs, and only one of them can be replaced",
            "Make a model with the one you want: keras.Model(model.input, model.outputs[0])",
        )  # fmt: skip
    head = _head(graph, graph.outputs[0])
    if head is None:
        raise _checks.argument_error(
            function, "the output of the model does not come from a Dense layer",
            "Add the head: keras.Sequential([model, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense("
            f"{num_classes})]) for feature maps (n, h, w, c); for features (n, c) leave out the pooling",
            output_shape=tuple(graph.outputs[0].shape),
        )  # fmt: skip
    if any(layer.name == name for layer in model.layers if layer is not head):
        raise _checks.argument_error(
            function, "`name` is the name of another layer of the model", f'Use for example name="new_{name}"',
            name=name,
        )  # fmt: skip
    fresh = keras.layers.Dense(
        num_classes, use_bias=head.use_bias, kernel_initializer=keras.initializers.GlorotUniform(seed),
        kernel_regularizer=head.kernel_regularizer, bias_regularizer=head.bias_regularizer, dtype=head.dtype_policy,
        name=name,
    )  # fmt: skip
    return _with_head(model, head, fresh)


def stage_of_layers(network):
    """Return the stage of each of `network.layers`, None where it has no weights to train or is the head.

    A model inside counts as the last stage that begins in it.

    Example:
        >>> from course_cnn import zoo
        >>> stage_of_layers(zoo.build_mlp((4,), input_shape=(8, 8, 1)))
        [None, 'dense', None]
    """
    found = {id(part.layer): name for name, parts in _survey("stages", network).stages.items() for part in parts}
    inside = [[found.get(id(part)) for part in _parts_inside(layer)] for layer in network.layers]
    return [next((name for name in reversed(names) if name), None) for names in inside]


class _Part(NamedTuple):
    """What a stage is made of: a layer, or one stage of an extractor."""

    layer: object
    stage: str | None = None


class _Survey(NamedTuple):
    """What there is in a model."""

    stages: dict  # name of a stage -> list of _Part, first stage first
    heads: list  # Dense layers
    models: list  # the model and all models inside, outermost first


def _is_graph(layer):
    return isinstance(layer, keras.Model) and isinstance(layer, (keras.Sequential, keras.Function))


def _graph(function, model):
    """Return the graph of calls of a model, or raise."""
    if not _is_graph(model):
        raise _checks.argument_error(
            function, "`model` must be a keras.Sequential or functional Keras model, whose layers can be followed",
            "Build it from an Input: keras.Model(inputs, outputs), or put the layer into a keras.Sequential",
            **{"type(model)": type(model).__name__},
        )  # fmt: skip
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if graph is None:
        raise _checks.argument_error(
            function, f"the model {model.name} has no input size yet",
            "Let it begin with keras.Input((height, width, channels)), or call it on a batch of images first",
        )  # fmt: skip
    return graph


def _is_extractor(layer):
    return hasattr(layer, "set_trainable_stages")


def _parts_inside(layer):
    return list(layer._flatten_layers(include_self=True))


def _can_train(layer):
    """Whether a layer has weights that train when asked to, whatever it is set to now."""
    return any(part._trainable_variables for part in _parts_inside(layer))


def _survey(function, model):
    walk = _Walk(function)
    graph = _graph(function, model)
    walk.follow(model, [0] * len(graph.inputs))
    heads = [head for head in (_head(graph, x) for x in graph.outputs) if head is not None]
    return _Survey(_named(walk.found, heads), heads, walk.models)


class _Walk:
    """Follow the calls of a model and count, for each layer, the halvings of the resolution up to its output."""

    def __init__(self, function):
        self.function, self.found, self.models = function, [], []  # found: (halvings, flat, layer), in order of calls

    def follow(self, model, counts):
        """Walk through a model whose inputs have been halved `counts` times; return the counts of its outputs."""
        graph = _graph(self.function, model)
        if not any(model is known for known in self.models):
            self.models.append(model)
        halvings = dict(zip(map(id, graph.inputs), counts, strict=True))
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if not node.is_input:
                    before = node.arguments.keras_tensors
                    made = self._call(node.operation, before, node.outputs, [halvings[id(x)] for x in before])
                    halvings.update(zip(map(id, node.outputs), made, strict=True))
        return [halvings[id(x)] for x in graph.outputs]

    def _call(self, layer, before, after, counts):
        if _is_graph(layer):
            return self.follow(layer, counts)
        same = [i for i, x in enumerate(before) if _space(x) == _space(after[0])]
        count = max(counts[i] for i in (same or range(len(before))))  # not a branch of weights for the channels
        count += _halves(layer, before[0], after[0])
        if isinstance(layer, keras.layers.Layer) and not any(layer is known for _, _, known in self.found):
            self.found.append((count, not _space(after[0]), layer))
        return [count] * len(after)


def _space(x):
    """Return the axes (h, w) of a tensor; none of features (n, c)."""
    return tuple(x.shape[1:-1])


def _halves(layer, before, after):
    """Whether a layer brings the resolution to half or less. A mean over all positions does not count."""
    old, new = _space(before), _space(after)
    everywhere = type(layer).__name__.startswith(("Global", "Mean", "Max", "Amax")) and not hasattr(layer, "pool_size")
    if not old or everywhere:
        return False
    if not new:
        return any(size != 1 for size in old)  # flattened
    if None in (*old, *new):
        steps = getattr(layer, "strides", 1)
        steps = max(steps) if isinstance(steps, (tuple, list)) else steps
        return steps > 1 and "Transpose" not in type(layer).__name__
    return max(new) < max(old) and max(new) <= (max(old) + 1) // 2


def _named(found, heads):
    """Group the layers by the number of halvings and find names for the groups."""
    groups = defaultdict(list)
    for count, flat, layer in found:
        if _is_extractor(layer):
            groups[count, id(layer)].append((flat, layer))
        elif _can_train(layer) and not any(layer is head for head in heads):
            groups[count, 0].append((flat, layer))
    groups = [groups[key] for key in sorted(groups, key=lambda key: key[0])]
    own = iter(_own_names([group for group in groups if not _is_extractor(group[0][1])]))
    named = []
    for group in groups:
        layers = [layer for _, layer in group]
        if not _is_extractor(layers[0]):
            named.append((next(own), None, [_Part(layer) for layer in layers]))
        for name in layers[0].stages if _is_extractor(layers[0]) else ():
            named.append((name, layers[0], [_Part(layers[0], name)]))
        if _is_extractor(layers[0]) and not layers[0].stages:
            named.append((layers[0].name, None, [_Part(layers[0])]))
    twice = {name for name, number in Counter(name for name, _, _ in named).items() if number > 1}
    return {f"{owner.name}/{name}" if owner and twice else name: parts for name, owner, parts in named}


def _own_names(groups):
    """Name groups of (flat, layer): as most of their layers are called, or all by number."""
    convolutional = [group for group in groups if not group[0][0]]
    words = [_word([layer.name for _, layer in group]) for group in convolutional]
    if None in words or len(set(words)) < len(words):
        words = [f"stage{i}" for i in range(1, len(convolutional) + 1)]
    flat = len(groups) - len(convolutional)
    return words + (["dense"] if flat == 1 else [f"dense{i}" for i in range(1, flat + 1)])


def _word(names):
    """Return the numbered word that more than half of the names begin with, or None.

    Example:
        >>> _word(["conv2_block1_1_conv", "conv2_block1_1_bn", "conv3_block1_1_conv"])
        'conv2'
    """
    found = [re.match(r"(?!conv[123]d)[A-Za-z]+_?\d+(?=[a-z]?(_|$))", name) for name in names]
    word, number = Counter(match and match[0] for match in found).most_common(1)[0]
    return word if number > len(names) / 2 else None


def _head(graph, x):
    """Return the Dense layer that the output `x` of a graph comes from, through layers without weights; or None."""
    makers = {id(y): (node, i) for nodes in graph._nodes_by_depth.values() for node in nodes
              for i, y in enumerate(node.outputs)}  # fmt: skip
    while True:
        node, index = makers[id(x)]
        layer, inputs = node.operation, node.arguments.keras_tensors
        if isinstance(layer, keras.layers.Dense):
            return layer
        if _is_graph(layer):
            inside = _graph("replace_head", layer)
            head = _head(inside, inside.outputs[index])
            if head is not None:
                return head
        if len(inputs) != 1 or getattr(layer, "weights", None):
            return None
        x = inputs[0]


def _chosen(function, survey, stages):
    """Return the stages asked for as a list of names, or raise."""
    names = list(survey.stages)
    listed = f"It has {', '.join(map(repr, names))}" if names else "It has none: its head trains alone"
    if isinstance(stages, str) and stages == "all":
        return names
    if isinstance(stages, int) and not isinstance(stages, bool):
        if not 1 <= stages <= len(names):
            raise _checks.argument_error(
                function, f"the model has {len(names)} stages, and `stages` must be from 1 to that number", listed,
                stages=stages,
            )  # fmt: skip
        return names[-stages:] if function == "unfreeze" else names[:stages]
    wanted = [stages] if isinstance(stages, str) else stages
    if not isinstance(wanted, (list, tuple, set, frozenset)) or any(name not in names for name in wanted):
        raise _checks.argument_error(
            function, '`stages` must be a number of stages, "all", or names of stages of the model', listed,
            stages=stages,
        )  # fmt: skip
    return list(wanted)


def _switch(model, survey, chosen, on, train_statistics):
    """Turn the chosen stages on or off and the heads on; reset a compiled model if that changed anything."""
    before = _state(model)
    extractors = defaultdict(list)
    for part in [part for name in chosen for part in survey.stages[name]]:
        if part.stage is not None:
            extractors[part.layer].append(part.stage)
        elif _is_extractor(part.layer):
            _switch_extractor(part.layer, None, on, train_statistics)
        else:
            _switch_layer(part.layer, on, train_statistics)
    for extractor, names in extractors.items():
        _switch_extractor(extractor, names, on, train_statistics)
    for head in survey.heads:
        head.trainable = True
    for inner in reversed(survey.models):  # Keras's own setter would set all layers inside as well
        inner._trainable = any(layer.trainable and _can_train(layer) for layer in inner.layers)
    if _state(model) != before:
        _reset(model)


def _switch_layer(layer, on, train_statistics):
    layer.trainable = on
    for part in _parts_inside(layer):
        if isinstance(part, keras.layers.BatchNormalization):
            part.trainable = on and train_statistics


def _switch_extractor(extractor, names, on, train_statistics):
    """Let stages of an extractor train or not; None for one whose stages are unknown. It may refuse."""
    was, statistics = extractor.trainable_stages, extractor.train_statistics
    was = was if extractor.stages else extractor.trainable
    try:
        trains = on if names is None else {*was, *names} if on else {*was} - {*names}
        _set_extractor(extractor, trains, train_statistics if on else statistics)
    except ValueError:
        _set_extractor(extractor, was, statistics)
        raise


def _set_extractor(extractor, trains, train_statistics):
    """Set the stages that train, or True or False for the whole; in the order in which an extractor allows it."""
    if extractor.train_statistics and not train_statistics:
        extractor.train_statistics = False
    if isinstance(trains, bool):
        extractor.trainable = trains
    else:
        extractor.set_trainable_stages([name for name in extractor.stages if name in trains])
    if train_statistics and not extractor.train_statistics:
        extractor.train_statistics = True


def _state(model):
    """Return what a step of training was traced with: the weights that train, and who is in which mode."""
    modes = [(part.trainable, getattr(part, "train_statistics", None)) for part in _parts_inside(model)[1:]]
    return [id(weight) for weight in model.trainable_weights], modes


def _reset(model):
    """Bring a model to the state before `compile`.

    Keras 3.15 promises that a change of `trainable` waits for the next `compile`. What really happens depends on
    whether a step has been traced: before, the change counts at once; afterwards it is ignored in silence, until
    batches of another size make a new trace. Then freezing counts after all, and unfreezing is an "Unknown variable".
    """
    if getattr(model, "compiled", False):
        model.compiled, model.optimizer = False, None
        model.train_function = model.test_function = model.predict_function = None


def _with_head(model, head, fresh):
    """Return a model of the same layers with `fresh` in place of the Dense layer `head` and all that follows it."""
    last = next(layer for layer in model.layers if layer is head or _holds(layer, head))
    if isinstance(model, keras.Sequential):
        new = fresh if last is head else _with_head(last, head, fresh)
        entry, before = model.inputs[0], model.layers[: model.layers.index(last)]
        entry = keras.Input(batch_shape=entry.shape, dtype=entry.dtype, name=entry.name)
        return keras.Sequential([entry, *before, new], name=model.name)
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes if node.operation is last]
    new = fresh if last is head else _with_head(last, head, fresh)
    output = new(*nodes[0].arguments.args, **nodes[0].arguments.kwargs)
    return keras.Model(model.input, output, name=model.name)


def _holds(layer, head):
    return _is_graph(layer) and any(part is head for part in _parts_inside(layer))
