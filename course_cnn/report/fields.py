"""How far units look: the receptive field of every layer, one axis at a time.

A unit's patch runs from a left to a right pixel of the input. Along an axis the patches of all units are written down
by those of the first few, after which they repeat, `shift` pixels further on: one unit and its jump for a convolution,
two units after upsampling by 2, where two neighbours look at the same pixel. A layer then is the list of units of the
layer before that each of its units reads.

Patches reach over the border, as if the input went on: they are those of a unit far from it.

Source: Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019.
"""

from fractions import Fraction
from math import gcd, lcm
from typing import NamedTuple

from course_cnn import shapes


class Unclear(Exception):
    """A layer is known, but where its units look cannot be said by one patch that moves along."""


class Field(NamedTuple):
    """What the units along one axis see: `patches` of the first units; the next as many lie `shift` pixels on."""

    patches: tuple  # (left, right) in input pixels, both seen; None for a unit that sees padding only
    shift: int

    def patch(self, unit):
        turns, number = divmod(unit, len(self.patches))
        patch = self.patches[number]
        return patch and (patch[0] + turns * self.shift, patch[1] + turns * self.shift)

    @property
    def jump(self):
        return Fraction(self.shift, len(self.patches))

    def widest(self):
        """Return `shapes.ReceptiveField`: the widest of the patches, mean jump, centre of the first unit's patch."""
        seen = [patch for patch in self.patches if patch]
        if not seen:
            return shapes.ReceptiveField(0, 0, 0.0)
        jump = int(self.jump) if self.jump.denominator == 1 else float(self.jump)
        return shapes.ReceptiveField(max(right - left + 1 for left, right in seen), jump, sum(seen[0]) / 2)


class Axis(NamedTuple):
    """One axis of an input, followed through the layers."""

    position: int | None  # where it stands among a tensor's axes; None once a layer has mixed all of it
    field: Field


PIXELS = Field(((0, 0),), 1)


def follow(field, seen, *, period=1, step=1):
    """Return the Field of units that read others: unit o reads seen(o), unit o + period the same `step` on."""
    turns = lcm(step, len(field.patches)) // step
    patches = [hull(field.patch(unit) for unit in seen(o)) for o in range(period * turns)]
    return _shortest(patches, field.shift * step * turns // len(field.patches))


def hull(patches):
    """Return the smallest patch around all of them."""
    patches = [patch for patch in patches if patch]
    return (min(left for left, _ in patches), max(right for _, right in patches)) if patches else None


def union(fields):
    """Return the Field of units that see what either branch sees. The jumps must agree."""
    if len({field.jump for field in fields}) > 1:
        raise Unclear("branches with different jumps meet")
    period = lcm(*(len(field.patches) for field in fields))
    patches = [hull(field.patch(o) for field in fields) for o in range(period)]
    return _shortest(patches, int(fields[0].jump * period))


def spread(field, units, size):
    """Return the Field of a unit that reads all `units` of an axis: what is seen of the `size` pixels of the input."""
    patch = hull(field.patch(unit) for unit in range(units))
    return Field((patch and (max(patch[0], 0), min(patch[1], size - 1)),), 0)


def _shortest(patches, shift):
    """Write a Field down with as few patches as it takes."""
    n = len(patches)
    shorter = (
        Field(tuple(patches[:period]), shift * period // n)
        for period in range(1, n + 1)
        if n % period == 0 and shift * period % n == 0
    )
    return next(field for field in shorter if all(field.patch(o) == patch for o, patch in enumerate(patches)))


# What each kind of layer does. A rule takes the step and, for each tensor the step reads that depends on the input,
# (shape, axes): its shape and one Axis per spatial axis of the input; `sizes` are the input's. It returns the axes of
# the output, or raises Unclear.


def merge(step, seen, sizes):
    """Unit by unit: sums, products, activations. A patch is what either branch sees."""
    rank = len(step.outputs[0].shape)
    branches = []
    for shape, axes in seen:
        more = rank - len(shape)  # axes of size 1 that broadcasting puts in front
        branches.append([_broadcast(axis, shape, more, step, size) for axis, size in zip(axes, sizes, strict=True)])
    return tuple(_meet(step, axes, size) for axes, size in zip(zip(*branches, strict=True), sizes, strict=True))


def unchanged(step, seen, sizes):
    """Layers that change images in training only."""
    if step.outputs[0].shape[1:] != step.inputs[0].shape[1:]:
        raise Unclear("the layer changes the size of the image")
    return seen[0][1]


def split(step, seen, sizes):
    """Pieces; of the channels, each piece sees what the whole saw."""
    shape, axes = seen[0]
    if any(axis.position == step.layer.axis % len(shape) for axis in axes):
        raise Unclear("an axis of the image is cut into pieces")
    return axes


def _broadcast(axis, shape, more, step, size):
    if axis.position is None:
        return axis
    position = axis.position + more
    if shape[axis.position] == 1 != step.outputs[0].shape[position]:
        return Axis(None, spread(axis.field, 1, size))
    return Axis(position, axis.field)


def _meet(step, axes, size):
    positions = {axis.position for axis in axes} - {None}
    if len(positions) > 1:
        raise Unclear("branches with exchanged axes meet")
    position = positions.pop() if positions else None
    standing = [axis.field for axis in axes if axis.field.shift == 0]
    moving = [axis.field for axis in axes if axis.field.shift != 0]
    if not standing or not moving:
        return Axis(position, union(standing or moving))
    fixed, units = union(standing), step.outputs[0].shape[position]  # as in squeeze-and-excitation
    patches = [spread(field, units, size).patch(0) for field in moving]
    if hull([*patches, fixed.patch(0)]) != fixed.patch(0):
        raise Unclear("a branch that stands still meets one that moves beyond it")
    return Axis(position, fixed)


def window(step, seen, sizes):
    """A kernel or a pooling window at regular places."""
    layer, (shape, axes) = step.layer, seen[0]
    taps = getattr(layer, "kernel_size", None) or layer.pool_size
    taps = shapes.per_axis_ints("summarize", "window", taps, len(shape) - 2)  # keras.ops take one int for all axes
    spatial = _image_axes(layer, len(taps), axes)
    windows = shapes.windows(
        [shape[i] for i in spatial], taps, stride=layer.strides or taps, padding=getattr(layer, "padding", "valid"),
        dilation=getattr(layer, "dilation_rate", 1), function="summarize",
    )  # fmt: skip

    def read(field, w):
        return follow(field, lambda o: [o * w.stride - w.before + t * w.dilation for t in range(w.taps)], step=w.stride)

    return _each(axes, dict(zip(spatial, windows, strict=True)), read)


def transposed(step, seen, sizes):
    """The kernel laid down at every input unit: the reverse of a convolution that reads the output."""
    layer, (_, axes) = step.layer, seen[0]
    spatial = _image_axes(layer, len(layer.kernel_size), axes)
    windows = shapes.windows(
        [step.outputs[0].shape[i] for i in spatial], layer.kernel_size, stride=layer.strides, padding=layer.padding,
        dilation=layer.dilation_rate, function="summarize",
    )  # fmt: skip

    def read(field, w):
        def seen_by(o):
            reach = (o + w.before - t * w.dilation for t in range(w.taps))
            return [place // w.stride for place in reach if place % w.stride == 0]

        return follow(field, seen_by, period=w.stride)

    return _each(axes, dict(zip(spatial, windows, strict=True)), read)


def up_sampling(step, seen, sizes):
    """Every unit repeated, or points between the units interpolated from the two next to them."""
    return _resized(step, seen, len(step.inputs[0].shape) - 2, getattr(step.layer, "interpolation", "nearest"))


def resizing(step, seen, sizes):
    """Points at other distances than the units, taken from the nearest unit or interpolated from two."""
    layer = step.layer
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio or getattr(layer, "antialias", False):
        raise Unclear("resizing with more than interpolation")
    return _resized(step, seen, 2, layer.interpolation)


def _resized(step, seen, rank, way):
    """Unit o of m lies at (o + 1/2) n / m - 1/2 among the n units read."""
    if way not in ("nearest", "bilinear"):
        raise Unclear(f"interpolation={way!r}")
    shape, axes = seen[0]
    parts = {i: (shape[i], step.outputs[0].shape[i]) for i in _spatial(step.layer, rank)}

    def read(field, part):
        n, m = part
        common = gcd(n, m)
        if way == "nearest":
            units = lambda o: [(2 * o + 1) * n // (2 * m)]  # noqa: E731
        else:
            units = lambda o: [((2 * o + 1) * n - m) // (2 * m), -((m - (2 * o + 1) * n) // (2 * m))]  # noqa: E731
        return follow(field, units, period=m // common, step=n // common)

    return _each(axes, parts, read)


def zero_padding(step, seen, sizes):
    """The first unit moves out over the border."""
    return _shifted(step.layer, seen, sizes, step.layer.padding, -1)


def cropping(step, seen, sizes):
    """The first unit moves in from the border."""
    return _shifted(step.layer, seen, sizes, step.layer.cropping, 1)


def _shifted(layer, seen, sizes, amounts, sign):
    _, axes = seen[0]
    amounts = amounts if isinstance(amounts[0], (tuple, list)) else (amounts,)
    first = {i: sign * before for i, (before, _) in zip(_spatial(layer, len(amounts)), amounts, strict=True)}
    return _each(axes, first, lambda field, start: follow(field, lambda o: [o + start]))


def everywhere(step, seen, sizes):
    """One answer for the whole image."""
    shape, axes = seen[0]
    return tuple(_mixed(axis, shape, size) for axis, size in zip(axes, sizes, strict=True))


def everywhere_kept(step, seen, sizes):
    """Every unit depends on the whole image, as under a normalisation by the image's own mean and variance."""
    mixed = everywhere(step, seen, sizes)
    return tuple(Axis(axis.position, new.field) for axis, new in zip(seen[0][1], mixed, strict=True))


def last_axis(step, seen, sizes):
    """A matrix over the last axis, which in an image holds the channels."""
    shape, axes = seen[0]
    last = len(shape) - 1
    return tuple(
        _mixed(axis, shape, size) if axis.position == last else axis for axis, size in zip(axes, sizes, strict=True)
    )


def over_axis(step, seen, sizes):
    """A softmax or a normalisation: every unit depends on all units along `axis`."""
    shape, axes = seen[0]
    along = getattr(step.layer, "axis", -1)
    along = {i % len(shape) for i in (along if isinstance(along, (tuple, list)) else (along,))}
    return tuple(
        Axis(axis.position, _mixed(axis, shape, size).field) if axis.position in along else axis
        for axis, size in zip(axes, sizes, strict=True)
    )


def activation(step, seen, sizes):
    """Unit by unit; a softmax along the last axis."""
    name = getattr(step.layer.activation, "__name__", "")
    return over_axis(step, seen, sizes) if "soft" in name and "max" in name else merge(step, seen, sizes)


def concatenate(step, seen, sizes):
    """Side by side; along the channels, a patch is what either branch sees."""
    along = step.layer.axis % len(step.outputs[0].shape)
    if any(axis.position == along for _, axes in seen for axis in axes):
        raise Unclear("branches are joined along an axis of the image")
    return merge(step, seen, sizes)


def reshape(step, seen, sizes):
    """Leading axes that keep their size stay what they are; the others are mixed."""
    shape, axes = seen[0]
    new = step.outputs[0].shape
    same = next((i for i, (a, b) in enumerate(zip(shape, new, strict=False)) if a != b), min(len(shape), len(new)))
    return tuple(
        axis if axis.position is None or axis.position < same else _mixed(axis, shape, size)
        for axis, size in zip(axes, sizes, strict=True)
    )


def permute(step, seen, sizes):
    """Axes change places."""
    return _moved(seen[0][1], (0, *step.layer.dims))


def transpose(step, seen, sizes):
    """Axes change places."""
    shape, axes = seen[0]
    return _moved(axes, step.layer.axes or tuple(range(len(shape)))[::-1])


def _moved(axes, order):
    order = list(order)
    return tuple(axis if axis.position is None else Axis(order.index(axis.position), axis.field) for axis in axes)


def pad(step, seen, sizes):
    """`keras.ops.pad`: the first unit moves out over the border."""
    _, axes = seen[0]
    if step.layer.mode != "constant":
        raise Unclear(f"padding of mode {step.layer.mode!r}")
    first = {i: -before for i, (before, _) in enumerate(step.layer.pad_width)}
    return _each(axes, first, lambda field, start: follow(field, lambda o: [o + start]))


def get_item(step, seen, sizes):
    """x[:, 1:, ::2]: every step-th unit from a first one on."""
    shape, axes = seen[0]
    args, kwargs = step.arguments
    key = kwargs["key"] if "key" in kwargs else args[1]
    key = key if isinstance(key, tuple) else (key,)
    if Ellipsis in key:
        where = key.index(Ellipsis)
        key = key[:where] + (slice(None),) * (len(shape) - len(key) + 1) + key[where + 1 :]
    if not all(isinstance(part, slice) for part in key):
        raise Unclear("an index other than slices")
    cuts = {i: part.indices(shape[i]) for i, part in enumerate(key) if i}

    def read(field, cut):
        first, _, every = cut
        if every < 1:
            raise Unclear("a slice that runs backwards")
        return follow(field, lambda o: [first + o * every], step=every)

    return _each(axes, cuts, read)


def reduce(step, seen, sizes):
    """A mean, sum or maximum over axes: they are mixed."""
    shape, axes = seen[0]
    along = step.layer.axis
    along = range(len(shape)) if along is None else along if isinstance(along, (tuple, list)) else (along,)
    along = {i % len(shape) for i in along}
    gone = () if step.layer.keepdims else along
    return tuple(
        axis if axis.position is None
        else _mixed(axis, shape, size) if axis.position in along
        else Axis(axis.position - sum(i < axis.position for i in gone), axis.field)
        for axis, size in zip(axes, sizes, strict=True)
    )  # fmt: skip


def _each(axes, parts, read):
    """Apply read(field, part) to the axes that stand where `parts` says."""
    return tuple(
        Axis(axis.position, read(axis.field, parts[axis.position])) if axis.position in parts else axis for axis in axes
    )


def _mixed(axis, shape, size):
    if axis.position is None:
        return axis
    return Axis(None, spread(axis.field, shape[axis.position], size))


def _spatial(layer, rank):
    """Positions of the image axes in the tensors a layer reads."""
    first = 2 if getattr(layer, "data_format", None) == "channels_first" else 1
    return range(first, first + rank)


def _image_axes(layer, rank, axes):
    """As `_spatial`, for a layer that may mix what stands elsewhere."""
    spatial = _spatial(layer, rank)
    if any(axis.position is not None and axis.position not in spatial for axis in axes):
        raise Unclear("the layer takes an axis of the image for its channels")
    return spatial
