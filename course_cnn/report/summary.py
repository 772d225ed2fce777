"""`summarize`: one row per call of a layer, and the totals."""

import math
from dataclasses import dataclass, field

from course_cnn import _checks, shapes
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.report import costs, fields, known, text
from course_cnn.report.trace import trace


@dataclass(frozen=True)
class Row:
    """One call of one layer. Sizes in pixels, memory in bytes."""

    name: str  # with the models and blocks around it: "backbone/conv1"
    call: int  # 1, or 2 for the second call of a shared layer, …
    type: str  # the layer's class
    output_shape: tuple  # batch axis first, None; a tuple of such shapes for several outputs
    params: int  # numbers in the layer's weights; those a row above has counted already are left out
    trainable_params: int
    macs: int | None  # multiply-adds for one image; None: unknown
    activation_bytes: int  # of the output, for the batch
    weight_bytes: int
    params_share: float  # of the model's total, 0 to 1
    macs_share: float | None
    receptive_field: shapes.ReceptiveField | tuple | None  # of the first input, as in `Summary.receptive_field`
    fields: dict = field(repr=False)  # name of an input that is seen -> ReceptiveField per axis; None: unknown
    spatial: bool = field(repr=False)  # whether the output still has an axis of the first input's image
    note: str = ""  # why something is unknown


@dataclass(frozen=True, repr=False)
class Summary:
    """What a model costs and sees: text by `print`, HTML in a notebook, everything in `to_frame()`."""

    name: str
    inputs: tuple  # names
    batch_size: int
    depth: int | None
    rows: tuple  # of Row
    total_params: int
    trainable_params: int
    total_macs: int  # for one image; "at least" where `unknown` is not empty
    weight_bytes: int
    training_bytes: int
    inference_bytes: int

    @property
    def unknown(self):
        """Names of the layers that could not be counted, in the order of the calls."""
        return tuple(dict.fromkeys(row.name for row in self.rows if row.macs is None))

    @property
    def receptive_field(self):
        """What one unit of the last layer whose output is still an image sees of the first input.

        A `shapes.ReceptiveField(size, jump, start)`, or a tuple with one per axis where the axes differ; None where it
        is unknown or the input is no image.
        """
        return next((row.receptive_field for row in reversed(self.rows) if row.spatial), None)

    def to_frame(self):
        """Return a `pandas.DataFrame` with every row.

        Columns: name, call, type, output_shape, params, trainable_params, macs, params_share, macs_share,
        activation_bytes, weight_bytes, receptive_field, jump, start, note. Shares lie in [0, 1]. Where the axes of the
        image differ, the three before the last hold tuples. A second input `b` adds `receptive_field of b`, ….
        """
        return text.frame(self)

    def __str__(self):
        return text.plain(self)

    def _repr_html_(self):
        return text.html(self)

    __repr__ = __str__


def summarize(model, *, batch_size=1, input_shape=None, depth=None):
    """Say what every layer of a Keras model costs and how far its units see.

    Nothing is computed: the model is followed call by call, with shapes only, branch after branch. Models inside are
    entered, and so are layers made of layers, such as `layers.ResidualBlock`. A shared layer has a row for each call;
    its parameters are counted once, its multiply-adds each time. Layers that are not known are named, never counted as
    zero: their multiply-adds are missing, the total is "at least", and where units look is unknown from there on.

    Multiply-adds (MACs, 1 MAC = 2 FLOPs) are for one image: the products of inputs with weights in convolutions, plain,
    grouped, dilated, depthwise, separable or transposed, in dense layers and in `layers.LearnedPooling2D`. Zeros at the
    border count like pixels. By the same convention of the papers biases, batch norm, activations, pooling and sums of
    branches count 0.

    Memory is that of the layers' outputs for `batch_size` images, in the dtype each has; each output is taken as a
    tensor of its own, that of a ReLU or Flatten, too. Training keeps all of them, and the input, for the backward pass.
    Inference keeps one until the last layer that reads it is done, and needs the most that are alive at once. What a
    layer needs inside, gradients, and the optimizer's state are left out.

    The receptive field is that of a unit far from the border, as in `shapes.receptive_field`: it can be larger than the
    image. Where branches meet it is what either branch sees. After upsampling neighbours can see patches of different
    widths: the widest is given, and the jump, which can be below 1, is a mean. After global pooling, Flatten and Dense,
    and in a branch scaled by such a number (squeeze-and-excitation), it is the whole image, with jump 0. Batch norm and
    layers that change images at random are taken as at inference; in training the mean and variance of a batch tie
    every unit to every pixel of it.

    Args:
        model: `keras.Sequential` that knows its input, or functional `keras.Model`.
        batch_size: int >= 1, images at a time; for memory only.
        input_shape: (h, w, c) in pixels and channels, or one such shape per input: sizes other than the model's own,
            needed where those are None. No weights are made or copied.
        depth: what `print` and a notebook show of the rows. 0: each; 1, 2, …: neighbours as one whose names begin with
            as many words ("conv4_block2" are two); None: each, or, in a model of more than 40 rows, groups. A group
            shows sums, and the output and receptive field of its last layer.

    Returns:
        Summary with rows, total_params, trainable_params, total_macs, receptive_field, unknown, weight_bytes,
        training_bytes, inference_bytes and to_frame().

    Raises:
        ValueError: not a Keras model, a subclassed or an unbuilt one; image sizes unknown, or not those the layers were
            built for; an argument is out of its range.

    Example:
        >>> from course_cnn import zoo
        >>> summary = summarize(zoo.build_lenet5())
        >>> summary.total_params, summary.total_macs
        (61706, 416520)
        >>> summary.receptive_field                          # of S4; the dense layers see everything
        ReceptiveField(size=16, jump=4, start=7.5)
        >>> summary.to_frame().set_index("name").macs.idxmax()
        'C3'

    Sources: Sze et al., "Efficient processing of deep neural networks", Proc. IEEE 2017, section III (MACs); Araujo,
    Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019.
    """
    batch_size = _checks.integer("summarize", "batch_size", batch_size, minimum=1)
    if depth is not None:
        depth = _checks.integer("summarize", "depth", depth, minimum=0)
    _check_model(model)
    sizes = _input_shapes(model, input_shape)
    try:
        inputs, steps, outputs = trace(model, sizes)
    except ValueError as error:
        if input_shape is None:
            raise
        raise _checks.argument_error(
            "summarize", f"a layer does not take its input: {str(error).splitlines()[0].rstrip('.')}",
            "Leave `input_shape` out for the model's own sizes, or give one that suits this layer",
            input_shape=input_shape,
        ) from None  # fmt: skip
    names = tuple(x._keras_history.operation.name for x in model.inputs)
    rows = tuple(_rows(model, names, inputs, steps, batch_size))
    return Summary(
        name=model.name, inputs=names, batch_size=batch_size, depth=depth, rows=rows,
        total_params=sum(row.params for row in rows), trainable_params=sum(row.trainable_params for row in rows),
        total_macs=sum(row.macs or 0 for row in rows), weight_bytes=sum(row.weight_bytes for row in rows),
        training_bytes=sum(row.activation_bytes for row in rows),
        inference_bytes=costs.peak(inputs, steps, outputs, batch_size),
    )  # fmt: skip


def _check_model(model):
    """Raise unless `model` is a Sequential or functional model that knows its inputs."""
    values = {"type(model)": type(model).__name__}
    if not isinstance(model, keras.layers.Layer):
        rule, remedy = "`model` must be a Keras 3 model", "Pass keras.Sequential([…]) or keras.Model(inputs, outputs)"
    elif not isinstance(model, keras.Model):
        rule = "`model` must be a model, and this is a single layer"
        remedy = "Put it into one, for example keras.Sequential([keras.Input((32, 32, 3)), layer])"
    elif not known.is_graph(model):
        rule = "`model` must be functional or Sequential: a subclassed model has no list of calls to follow"
        remedy = "Wrap it, for example inputs = keras.Input((32, 32, 3)); summarize(keras.Model(inputs, model(inputs)))"
    elif isinstance(model, keras.Sequential) and not getattr(model, "inputs", None):
        rule = "the model is not built: it does not know the shape of its input yet"
        remedy = "Call for example model.build((None, 32, 32, 3)), or begin the list with keras.Input((32, 32, 3))"
    else:
        return
    raise _checks.argument_error("summarize", rule, remedy, **values)


def _input_shapes(model, input_shape):
    """Return one shape per input, batch axis first, without unknown sizes; or raise."""
    own = [tuple(x.shape) for x in model.inputs]
    example = [tuple(224 if size is None else size for size in shape[1:]) for shape in own]
    example = example[0] if len(own) == 1 else example
    if input_shape is None:
        if any(None in shape[1:] for shape in own):
            raise _checks.argument_error(
                "summarize", "the size of the input must be known", f"Give one, for example input_shape={example}",
                **{"model.input_shape": model.input_shape},
            )  # fmt: skip
        return own
    try:
        single = isinstance(input_shape[0], int)
        given = [tuple(shape) for shape in ([input_shape] if single else input_shape)]
        right = [len(shape) for shape in given] == [len(shape) - 1 for shape in own]
    except (TypeError, IndexError):
        right = False
    if not right or not all(isinstance(size, int) and size >= 1 for shape in given for size in shape):
        raise _checks.argument_error(
            "summarize", "`input_shape` must hold an integer >= 1 per axis of the input, without the batch axis"
            + (f", one such shape for each of the {len(own)} inputs" if len(own) > 1 else ""),
            f"Use for example input_shape={example}", input_shape=input_shape,
        )  # fmt: skip
    return [(None, *shape) for shape in given]


def _rows(model, names, inputs, steps, batch_size):
    """Yield the inputs, the calls, and the weights that no call has read."""
    sizes, views = _start(inputs)
    counter = _Counter(model, names, batch_size, sum(step.rule.macs(step) for step in steps if step.rule))
    for name, x in zip(names, inputs, strict=True):
        yield counter.row(name, 1, "InputLayer", [x], [], 0, views[id(x)])
    for step in steps:
        view, note = _view(step, views, sizes)
        views.update({id(x): view for x in step.outputs})
        yield counter.row(
            step.name, step.call, type(step.layer).__name__, step.outputs, getattr(step.layer, "weights", ()),
            step.rule and step.rule.macs(step), view, note,
        )  # fmt: skip
    row = counter.row("(not called)", 1, "weights", [], model.weights, 0, {})
    if row.params:
        yield row


class _Counter:
    """Makes rows, and counts every weight once."""

    def __init__(self, model, names, batch_size, total_macs):
        self.names, self.batch_size, self.total_macs = names, batch_size, total_macs
        self.trainable, self.counted = {id(w) for w in model.trainable_weights}, set()
        self.total_params = sum(math.prod(w.shape) for w in {id(w): w for w in model.weights}.values())

    def row(self, name, call, kind, tensors, weights, macs, view, note=""):
        weights = {id(w): w for w in weights if id(w) not in self.counted}
        self.counted |= weights.keys()
        params = sum(math.prod(w.shape) for w in weights.values())
        output = tuple((None, *x.shape[1:]) for x in tensors)
        seen = {
            self.names[number]: None if axes is None else tuple(axis.field.widest() for axis in axes)
            for number, axes in view.items()
        }
        first = view.get(0, ())
        return Row(
            name=name, call=call, type=kind, output_shape=output[0] if len(output) == 1 else output,
            params=params, params_share=params / (self.total_params or 1),
            trainable_params=sum(math.prod(w.shape) for key, w in weights.items() if key in self.trainable),
            macs=macs, macs_share=None if macs is None else macs / (self.total_macs or 1),
            activation_bytes=costs.tensor_bytes(tensors, self.batch_size),
            weight_bytes=costs.weight_bytes(weights.values()),
            receptive_field=_alike(seen.get(self.names[0])), fields=seen, note=note,
            spatial=first is None or any(axis.position is not None for axis in first),
        )  # fmt: skip


def _start(inputs):
    """Return the image sizes of every input, and what the inputs themselves see: each unit its own pixel."""
    first = 2 if keras.config.image_data_format() == "channels_first" else 1
    views, sizes = {}, []
    for number, x in enumerate(inputs):
        positions = range(first, first + len(x.shape) - 2)
        sizes.append([x.shape[i] for i in positions])
        views[id(x)] = {number: tuple(fields.Axis(i, fields.PIXELS) for i in positions)}
    return sizes, views


def _view(step, views, sizes):
    """Return what the outputs of a step see, {input number: axes}, and a note where that is unknown."""
    view, note = {}, "" if step.rule else "unknown layer"
    for number in sorted({number for x in step.inputs for number in views[id(x)]}):
        seen = [(x.shape, views[id(x)][number]) for x in step.inputs if number in views[id(x)]]
        view[number] = None
        if step.rule and all(axes is not None for _, axes in seen):
            try:
                view[number] = step.rule.field(step, seen, sizes[number])
            except fields.Unclear as reason:
                note = f"receptive field unknown from here: {reason}"
    return view, note


def _alike(axes):
    """Return what all axes agree on, or all of them; None for none."""
    return None if not axes else axes[0] if len(set(axes)) == 1 else axes
