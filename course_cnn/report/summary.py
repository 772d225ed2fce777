"""`summarize`: one row per call of a layer, and the totals."""

from dataclasses import dataclass, field
from math import prod

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.report import costs, fields, known, text
from course_cnn.report.trace import trace


@dataclass(frozen=True)
class Row:
    """One call of one layer."""

    name: str  # with the models and blocks around it: "backbone/conv1"
    call: int  # 1, or 2 for the second call of a shared layer, …
    type: str  # the layer's class
    output_shape: tuple  # batch axis first, None; a tuple of such shapes for several outputs
    params: int  # numbers in the layer's weights; 0 where a row above has counted them
    trainable_params: int
    macs: int | None  # multiply-adds for one image; None: unknown
    activation_bytes: int  # of the output, for the batch
    weight_bytes: int
    fields: dict = field(repr=False)  # input name -> a ReceptiveField per axis of that input; None: unknown
    spatial: bool = field(repr=False)  # whether the output still has an axis of the first input
    note: str = ""  # why something is unknown

    @property
    def receptive_field(self):
        """What one unit sees of the first input: ReceptiveField(size, jump, start); a tuple, where axes differ."""
        return _square(next(iter(self.fields.values()), None))


@dataclass(frozen=True, repr=False)
class Summary:
    """What a model costs and sees: `print(summary)`, HTML in a notebook, everything in `to_frame()`."""

    name: str
    inputs: tuple  # names of the inputs
    batch_size: int
    rows: tuple
    total_params: int
    trainable_params: int
    total_macs: int  # for one image; at least, where `unknown` is not empty
    weight_bytes: int
    training_bytes: int
    inference_bytes: int
    unknown: tuple  # names of the layers whose multiply-adds are unknown
    depth: int | None

    @property
    def receptive_field(self):
        """What one unit of the last layer with image axes sees of the first input; None if unknown or without axes."""
        last = next((row for row in reversed(self.rows) if row.spatial), None)
        return last and last.receptive_field

    def to_frame(self):
        """Return a `pandas.DataFrame`, one row per call of a layer."""
        return text.frame(self)

    def __str__(self):
        return text.plain(self)

    def _repr_html_(self):
        return text.html(self)

    __repr__ = __str__


def summarize(model, *, batch_size=1, input_shape=None, depth=None):
    """Say what every layer of a Keras model costs and how far its units see."""
    batch_size = _checks.integer("summarize", "batch_size", batch_size, minimum=1)
    shapes = _input_shapes(model, input_shape)
    try:
        inputs, steps, outputs = trace(model, shapes)
    except ValueError as error:
        if input_shape is None:
            raise
        raise _checks.argument_error(
            "summarize", f"the model does not take images of this size: {error}",
            "Leave `input_shape` out, or give a larger one", input_shape=input_shape,
        ) from None  # fmt: skip
    names = [_input_name(x) for x in model.inputs]
    rows = list(_rows(model, names, inputs, steps, batch_size))
    weights = {id(w): w for w in model.weights}.values()
    return Summary(
        name=model.name, inputs=tuple(names), batch_size=batch_size, rows=tuple(rows), depth=depth,
        total_params=sum(row.params for row in rows), trainable_params=sum(row.trainable_params for row in rows),
        total_macs=sum(row.macs or 0 for row in rows), weight_bytes=costs.weight_bytes(weights),
        training_bytes=sum(row.activation_bytes for row in rows),
        inference_bytes=costs.peak(inputs, steps, outputs, batch_size),
        unknown=tuple(dict.fromkeys(row.name for row in rows if row.macs is None)),
    )  # fmt: skip


def _input_name(tensor):
    return tensor._keras_history.operation.name


def _input_shapes(model, input_shape):
    """Check the model and `input_shape`; return one shape per input, batch axis first."""
    if not known.is_graph(model) or not isinstance(model, keras.Model):
        raise NotImplementedError
    shapes = [tuple(x.shape) for x in model.inputs]
    if input_shape is not None:
        given = [input_shape] if not isinstance(input_shape[0], (tuple, list)) else input_shape
        shapes = [(None, *shape) for shape in given]
    return shapes


def _rows(model, names, inputs, steps, batch_size):
    sizes = [x.shape[1:-1] for x in inputs]
    views = {id(x): {} for x in inputs}  # tensor -> input number -> its axes, or None where unknown
    for number, x in enumerate(inputs):
        views[id(x)][number] = tuple(fields.Axis(i, fields.PIXELS) for i in range(1, len(x.shape) - 1))
    counted, trainable = set(), {id(w) for w in model.trainable_weights}
    for name, x in zip(names, inputs, strict=True):
        yield Row(
            name, 1, "InputLayer", (None, *x.shape[1:]), 0, 0, 0, costs.tensor_bytes([x], batch_size), 0,
            *_seen(views[id(x)], names),
        )  # fmt: skip
    for step in steps:
        view, note = _view(step, views, sizes)
        views.update({id(x): view for x in step.outputs})
        weights = {id(w): w for w in getattr(step.layer, "weights", ()) if id(w) not in counted}
        counted |= weights.keys()
        shapes = tuple((None, *x.shape[1:]) for x in step.outputs)
        yield Row(
            step.name, step.call, type(step.layer).__name__, shapes[0] if len(shapes) == 1 else shapes,
            sum(prod(w.shape) for w in weights.values()),
            sum(prod(w.shape) for key, w in weights.items() if key in trainable),
            step.rule and step.rule.macs(step), costs.tensor_bytes(step.outputs, batch_size),
            costs.weight_bytes(weights.values()), *_seen(view, names), note,
        )  # fmt: skip


def _view(step, views, sizes):
    """Return what the outputs of a step see, {input number: axes}, and a note where that is unknown."""
    if step.rule is None:
        return {number: None for x in step.inputs for number in views[id(x)]}, "unknown layer"
    view, note = {}, ""
    for number in sorted({number for x in step.inputs for number in views[id(x)]}):
        seen = [(x.shape, views[id(x)][number]) for x in step.inputs if number in views[id(x)]]
        view[number] = None
        if all(axes is not None for _, axes in seen):
            try:
                view[number] = step.rule.field(step, seen, sizes[number])
            except fields.Unclear as reason:
                note = str(reason)
    return view, note


def _seen(view, names):
    """Return a row's `fields` and whether the first input's axes are still there."""
    seen = {
        names[number]: None if axes is None else tuple(axis.field.widest() for axis in axes)
        for number, axes in view.items()
    }
    first = view.get(0)
    return seen, 0 in view and (first is None or any(axis.position is not None for axis in first))


def _square(axes):
    if not axes:
        return None
    return axes[0] if len(set(axes)) == 1 else axes
