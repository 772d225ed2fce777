"""Pictures of what one unit sees of the input: along one row, on a photograph, by its gradient, and as it grows."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from course_cnn import _checks, shapes
from course_cnn.plots._common import (
    COLOURS,
    DASHES,
    as_matrix,
    axes_grid,
    cells_figsize,
    check_texts,
    counted,
    draw_frame,
    draw_image,
    draw_line,
    image_list,
    one_axes,
)
from course_cnn.plots.images import plot_matrix


def plot_pyramid(layers, *, size=None, unit=None, names=None, ax=None, title=None):
    """Draw a stack of layers along one axis, and every line from one top unit down to the pixels it sees.

    Args:
        layers: sequence of (kernel_size, stride, dilation) triples, first layer first, as for
            `shapes.receptive_field`. A fourth entry is the padding, as in `shapes.output_size`: an int, a
            (before, after) pair or a word.
        size: int >= 1, pixels of the input; None for as many as three top units need.
        unit: int, the top unit, counted from 0; None for the middle one.
        names: sequence of str, one per layer; None for kernel size, stride and dilation.
        ax: Axes to draw on; None for a new figure.
        title: str; None for how many pixels the unit sees, and how wide its field is where that is more.

    Returns:
        Axes. Every unit stands above the centre of its field, x in input pixels; y 0 is the input, y 1 layer 1.

    Raises:
        ValueError: a layer does not fit its input, or there is no such unit.

    Example:
        >>> plot_pyramid([(3, 1, 1), (3, 1, 1)]).get_title()
        'one unit sees 5 pixels'
        >>> plot_pyramid([(3, 1, 2), (3, 1, 2)], size=9).get_title()
        'one unit sees 5 of the 9 pixels of its field'
        >>> plot_pyramid([(3, 1, 1, "same"), (3, 1, 1, "same")], size=7, unit=0).get_title()
        'one unit sees 3 of the 5 pixels of its field, 2 outside the image'
    """
    function = "plot_pyramid"
    rows, unit = _stack(function, layers, size, unit)
    if names is not None:
        names = check_texts(function, "names", names, len(rows), "layer")
    seen, zeros, lines = _trace(rows, unit)
    places = [shapes.ReceptiveField(1, 1, 0.0)]
    for number in range(len(rows)):
        windows = [(row.taps, row.stride, row.dilation, row.before) for row in rows[: number + 1]]
        places.append(shapes.receptive_field(windows))
    counts = [rows[0].size, *(row.out for row in rows)]

    ax = one_axes(function, ax, (8, 1.6 + 0.62 * len(rows)))
    left = min(place.start + place.jump * min([0, *zero]) for place, zero in zip(places, zeros, strict=True))
    right = max(
        place.start + place.jump * max([count - 1, *zero])
        for place, count, zero in zip(places, counts, zeros, strict=True)
    )
    dot = np.clip(ax.get_window_extent().width * 72 / ax.figure.dpi / (right - left + 2) * 0.62, 1.5, 9)
    for level, (place, count) in enumerate(zip(places, counts, strict=True)):
        _draw_units(ax, level, place, count, seen[level], zeros[level], dot)
    for level, pairs in enumerate(lines, start=1):
        above, below = places[level], places[level - 1]
        ends = [[(above.start + above.jump * i, level), (below.start + below.jump * j, level - 1)] for i, j, _ in pairs]
        styles = ["-" if real else ":" for _, _, real in pairs]
        ax.add_collection(LineCollection(ends, colors=COLOURS[0], linewidths=0.8, linestyles=styles, zorder=1))
    _name_rows(ax, rows, names)
    _pyramid_legend(ax, seen, zeros)
    ax.set(xlim=(left - 1, right + 1), ylim=(-0.45, len(rows) + 0.45), xlabel="place (pixels of the input)")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.set_title(_pyramid_title(places[-1], unit, seen[0], rows[0].size) if title is None else title, fontsize="medium")
    return ax


def plot_receptive_field(image, fields, *, at=None, axes=None, title=None):
    """Draw on an image the square that one unit of a layer sees, and what is inside of it; several layers, nested.

    Args:
        image: array (h, w) or (h, w, 3), in [0, 1] or uint8, of the size that goes into the network.
        fields: dict from a layer's name to its (size, jump, start), as `shapes.receptive_field` returns it, in
            pixels; or to a pair of those, for rows and columns.
        at: (row, col), a pixel; of each layer the unit is drawn whose field lies closest around it. None for the
            middle of the image.
        axes: 1 + len(fields) Axes; None for a new figure.
        title: str above all of them; None for none.

    Returns:
        array of Axes: the image with one frame per layer, then what each unit sees, in the order of `fields`. What
        lies outside the image is hatched.

    Raises:
        ValueError: a field is not of that form, or `at` lies outside the image.

    Example:
        >>> fields = {"first": shapes.receptive_field([(3, 1, 1)]), "second": shapes.receptive_field([(3, 1, 1)] * 2)}
        >>> [ax.get_title() for ax in plot_receptive_field(np.zeros((28, 28)), fields, at=(10, 12))]
        ['28×28 pixels', 'first\\n3×3 pixels', 'second\\n5×5 pixels']
    """
    function = "plot_receptive_field"
    image = image_list(function, [image])[0]
    h, w = image.shape[:2]
    at = (h // 2, w // 2) if at is None else tuple(at)
    if len(at) != 2 or not (0 <= at[0] < h and 0 <= at[1] < w):
        raise _checks.argument_error(
            function, "`at` must be a (row, col) inside the image", f"Use at most at={(h - 1, w - 1)}", at=at
        )
    if not isinstance(fields, dict) or not fields:
        raise _checks.argument_error(
            function, "`fields` must be a dict from a layer's name to (size, jump, start)",
            'Use {"my layer": shapes.receptive_field(windows)}', **{"type(fields)": type(fields).__name__},
        )  # fmt: skip
    boxes = [_box_at(function, name, field, at) for name, field in fields.items()]
    if axes is None:
        panels = 1 + len(fields)
        columns = min(panels, 4)
        shape = (-(-panels // columns), columns)
        figsize = (2.1 * columns, 2.4 * shape[0] + 0.3 * (title is not None))
        axes = plt.subplots(*shape, figsize=figsize, squeeze=False, layout="constrained")[1].ravel()
        for ax in axes[panels:]:
            ax.remove()
    axes = axes_grid(function, 1 + len(fields), None, axes, title=title)
    high = 255 if image.dtype == np.uint8 else 1
    draw_image(axes[0], image, 0, high)
    axes[0].set_title(f"{h}×{w} pixels", fontsize="medium")
    for number, (name, box, ax) in enumerate(zip(fields, boxes, axes[1:], strict=True)):
        look = {"colour": _LOOKS[number % len(_LOOKS)], "dash": DASHES[number % len(DASHES)], "width": 2}
        draw_frame(axes[0], *box, **look)
        axes[0].patches[-1].set_clip_on(True)
        top, left, bottom, right = box
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **_OUTSIDE, zorder=-1))
        draw_image(ax, image, 0, high)
        ax.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))
        ax.set_title(f"{name}\n{bottom - top}×{right - left} pixels", fontsize="medium")
        for spine in ax.spines.values():
            spine.set(color=look["colour"], linestyle=look["dash"], linewidth=2)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    return axes


def plot_gradient_field(field, *, box=None, log=False, ax=None, title=None):
    """Draw how strongly each pixel moves one unit, |d unit / d pixel|, as measured by a gradient.

    Args:
        field: array (h, w), >= 0, any scale; drawn as a share of its largest number.
        box: (row0, col0, row1, col1), half-open, framed: the receptive field by the formula. None for no frame.
        log: bool, logarithmic colours over four powers of ten, so that the faint rim can be seen.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the extent of what is not zero, and of the square in its middle that holds half of the sum.

    Returns:
        Axes; pixels without any gradient stay white.

    Raises:
        ValueError: a number is negative or not finite.

    Example:
        >>> field = np.outer([0, 1, 4, 6, 4, 1, 0], [0, 1, 4, 6, 4, 1, 0])
        >>> plot_gradient_field(field, box=(1, 1, 6, 6)).get_title()
        'not zero in 5×5 pixels,\\nhalf of it in the middle 3×3'
    """
    function = "plot_gradient_field"
    field = as_matrix(function, "field", field).astype(float)
    _checks.finite(function, field=field)
    if field.min() < 0:
        raise _checks.argument_error(
            function, "`field` must not be negative", "Use np.abs(gradient)", smallest=float(field.min())
        )
    share = field / (field.max() or 1.0)
    ax = one_axes(function, ax, cells_figsize(*field.shape, least=4.4))
    shown = np.where(share > 0, share, np.nan)
    low, high, label = 0, 1, "share of the largest gradient"
    if log:
        shown, low, high, label = np.log10(shown), -4, 0, f"{label}, power of ten"
    plot_matrix(shown, ax=ax, cmap="viridis", vmin=low, vmax=high, numbers=False)
    ax.figure.colorbar(ax.images[0], ax=ax, label=label, shrink=0.8)
    if box is not None:
        draw_frame(ax, *box, dash="--", width=2)
    ax.set_title(_gradient_title(field) if title is None else title, fontsize="medium")
    return ax


def plot_growth(stacks, *, size=None, log=False, ax=None, title=None):
    """Draw how the receptive field grows with every layer, one line per stack of layers.

    Args:
        stacks: dict from label to a sequence of (kernel_size, stride, dilation) triples, first layer first.
        size: number > 0, pixels, drawn as a level line: the image to be covered. None for none.
        log: bool, logarithmic pixels.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the depth at which `size` is covered, or for the widest field.

    Returns:
        Axes; layer 0 is the input, where a unit is a pixel.

    Raises:
        ValueError: `stacks` is empty or holds no stacks of layers.

    Example:
        >>> stacks = {"stride 1": [(3, 1, 1)] * 5, "stride 2": [(3, 2, 1)] * 5}
        >>> plot_growth(stacks, size=28).get_title()
        '"stride 2" covers 28 pixels after 4 layers'
    """
    function = "plot_growth"
    if not isinstance(stacks, dict) or not stacks:
        raise _checks.argument_error(
            function, "`stacks` must be a dict from label to a sequence of (kernel_size, stride, dilation)",
            'Use {"my stack": [(3, 1, 1)] * 5}', **{"type(stacks)": type(stacks).__name__},
        )  # fmt: skip
    if size is not None:
        size = _checks.positive(function, "size", size, 28)
    ax = one_axes(function, ax, (6, 3.8))
    sizes = {}
    for number, (name, layers) in enumerate(stacks.items()):
        layers = list(layers)
        sizes[name] = [shapes.receptive_field(layers[:depth]).size for depth in range(len(layers) + 1)]
        draw_line(ax, range(len(layers) + 1), sizes[name], number, name)
    if size is not None:
        ax.axhline(size, color="0.4", linewidth=1, linestyle=(0, (6, 4)), label=f"{size:g} pixels")
    if log:
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set(xlabel="layers", ylabel="receptive field (pixels)")
    ax.legend(fontsize="small")
    ax.set_title(_growth_title(sizes, size) if title is None else title, fontsize="medium")
    return ax


_OUTSIDE = {"facecolor": "0.95", "edgecolor": "0.7", "hatch": "////", "linewidth": 0}  # beyond the border
_LOOKS = (COLOURS[1], COLOURS[0], COLOURS[5], COLOURS[7], "black", COLOURS[3])  # stand out on a photograph


def _stack(function, layers, size, unit):
    """Return one Window per layer and the number of the top unit, or raise."""
    layers = list(layers)
    for number, layer in enumerate(layers):
        if not isinstance(layer, (tuple, list)) or len(layer) not in (3, 4):
            raise _checks.argument_error(
                function, "`layers` must hold (kernel_size, stride, dilation) triples",
                f"Write layer {number} as, for example, (3, 1, 1)", **{f"layers[{number}]": layer},
            )  # fmt: skip
    if not layers:
        raise _checks.argument_error(function, "there must be at least one layer", "Use for example [(3, 1, 1)]")
    if size is None:
        field = shapes.receptive_field([layer[:3] for layer in layers])
        size = field.size + 2 * field.jump
    rows = []
    for taps, stride, dilation, *padding in layers:
        settings = {"stride": stride, "dilation": dilation, "padding": padding[0] if padding else 0}
        rows.append(shapes.window(size, taps, **settings, function=function))
        size = rows[-1].out
    unit = (size - 1) // 2 if unit is None else _checks.integer(function, "unit", unit, minimum=0)
    if unit >= size:
        raise _checks.argument_error(
            function, f"the top layer has {counted(size, 'unit')}", f"Use at most unit={size - 1}", unit=unit
        )
    return rows, unit


def _trace(rows, unit):
    """Follow one top unit down: per level the units it depends on, the zeros it meets, and the lines between."""
    seen, zeros, lines = [{unit}], [set()], []
    for row in reversed(rows):
        pairs = [
            (i, place, 0 <= place < row.size)
            for i in sorted(seen[0])
            for place in range(i * row.stride - row.before, i * row.stride - row.before + row.span, row.dilation)
        ]
        seen.insert(0, {place for _, place, real in pairs if real})
        zeros.insert(0, {place for _, place, real in pairs if not real})
        lines.insert(0, pairs)
    return seen, zeros, lines


def _draw_units(ax, level, place, count, seen, zeros, dot):
    """Draw one row: units that count filled, others empty, added zeros as small squares, pixels left out crossed."""
    other = sorted(set(range(count)) - seen)
    hidden = [i for i in other if seen and min(seen) < i < max(seen)] if level == 0 else []
    square = "s" if level == 0 else "o"
    for units, style in (
        (other, {"marker": square, "markerfacecolor": "0.93", "markeredgecolor": "0.7", "label": "_other"}),
        (hidden, {"marker": "x", "color": "black", "label": "_hidden", "markersize": 0.7 * dot}),
        (sorted(zeros), {"marker": "s", "markerfacecolor": "white", "markeredgecolor": COLOURS[1], "label": "_zero",
                         "markersize": 0.7 * dot}),
        (sorted(seen), {"marker": square, "color": COLOURS[0], "label": "_seen"}),
    ):  # fmt: skip
        x = [place.start + place.jump * i for i in units]
        ax.plot(x, [level] * len(x), linestyle="none", zorder=3, **{"markersize": dot, **style})


def _name_rows(ax, rows, names):
    if names is None:
        names = []
        for number, row in enumerate(rows, start=1):
            more = [f"{word} {n}" for word, n in (("stride", row.stride), ("dilation", row.dilation)) if n > 1]
            names.append(", ".join([f"{number}: {row.taps} taps", *more]))
    ax.set_yticks(range(len(rows) + 1), ["input", *names])
    ax.tick_params(axis="y", length=0)


def _pyramid_legend(ax, seen, zeros):
    style = {"linestyle": "none", "markersize": 7}
    handles = [Line2D([], [], marker="o", color=COLOURS[0], label="seen by the top unit", **style)]
    if any(zeros):
        look = {"marker": "s", "markerfacecolor": "white", "markeredgecolor": COLOURS[1]}
        handles.append(Line2D([], [], label="added zero", **look, **style))
    if seen[0] and max(seen[0]) - min(seen[0]) + 1 > len(seen[0]):
        handles.append(Line2D([], [], marker="x", color="black", label="pixel left out", **style))
    if len(handles) > 1:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.32 / len(seen) - 0.12), "ncols": 3}
        ax.legend(handles=handles, frameon=False, fontsize="small", **place)


def _pyramid_title(field, unit, seen, size):
    first = round(field.start + unit * field.jump - (field.size - 1) / 2)
    outside = max(0, -first) + max(0, first + field.size - size)
    outside = min(outside, field.size)
    text = f"one unit sees {counted(len(seen), 'pixel')}"
    if len(seen) < field.size:
        text = f"one unit sees {len(seen)} of the {field.size} pixels of its field"
    return f"{text}, {outside} outside the image" if outside else text


def _box_at(function, name, field, at):
    """Return (row0, col0, row1, col1) of the unit whose field's centre is nearest to a pixel."""
    pair = [field] * 2 if len(field) == 3 else list(field)
    if len(pair) != 2 or any(np.shape(one) != (3,) for one in pair):
        raise _checks.argument_error(
            function, "a field must be (size, jump, start), or a pair of those for rows and columns",
            "Use what shapes.receptive_field returns", **{f"fields[{name!r}]": field},
        )  # fmt: skip
    starts, ends = [], []
    for (size, jump, start), place in zip(pair, at, strict=True):
        unit = max(0, round((place - start) / jump))
        starts.append(round(start + unit * jump - (size - 1) / 2))
        ends.append(starts[-1] + size)
    return *starts, *ends


def _gradient_title(field):
    rows, cols = (np.flatnonzero(field.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return "no gradient at all"
    (top, bottom), (left, right) = ((index[0], index[-1] + 1) for index in (rows, cols))
    text = f"not zero in {bottom - top}×{right - left} pixels"
    for cut in range(min(bottom - top, right - left) // 2, -1, -1):
        inner = field[top + cut : bottom - cut, left + cut : right - cut]
        if inner.sum() >= field.sum() / 2:
            break
    return f"{text},\nhalf of it in the middle {inner.shape[0]}×{inner.shape[1]}"


def _growth_title(sizes, size):
    if size is None:
        name = max(sizes, key=lambda key: sizes[key][-1])
        return f'"{name}" ends widest: {counted(sizes[name][-1], "pixel")}'
    depths = {name: next((n for n, s in enumerate(curve) if s >= size), None) for name, curve in sizes.items()}
    depths = {name: depth for name, depth in depths.items() if depth is not None}
    if not depths:
        return f"no stack covers {size:g} pixels"
    name = min(depths, key=depths.get)
    return f'"{name}" covers {size:g} pixels after {counted(depths[name], "layer")}'
