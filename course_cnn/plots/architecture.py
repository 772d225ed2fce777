"""Pictures of whole networks: what they cost against what they can do, and how a module is wired."""

from itertools import pairwise

import numpy as np
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

from course_cnn import _checks, shapes
from course_cnn.plots._common import COLOURS, as_array, check_texts, one_axes

LARGEST = 2400  # area of the largest bubble, in square points: 55 points across
# Where a label may stand, seen from the middle of its bubble: right, left, above, below, then the corners.
DIRECTIONS = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])


def plot_costs(names, macs, params, scores, *, ylabel="top-1 accuracy (%)", ax=None, title=None):
    """Draw what networks achieve against the operations they need; the area of each bubble is their parameters.

    Each label stands beside its bubble where it covers neither another label nor another bubble, and gives the
    parameters in millions. Labels are placed for the size the figure has now.

    Args:
        names: sequence of n str, the networks.
        macs: array (n,), multiply-adds for one image, > 0; the axis counts billions.
        params: array (n,), parameters, > 0.
        scores: array (n,), what `ylabel` says, in its units.
        ylabel: str.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the network with the best (highest) score.

    Returns:
        Axes, with one text per network, in the order of `names`.

    Raises:
        ValueError: different numbers of networks, or amounts that are not above 0.

    Example:
        >>> ax = plot_costs(["small", "large"], [1e9, 8e9], [5e6, 60e6], [70, 75])
        >>> [text.get_text() for text in ax.texts]
        ['small, 5 M', 'large, 60 M']
        >>> ax.get_xlabel()
        'multiply-adds for one image (billions)'

    Source: after Canziani, Paszke & Culurciello, "An analysis of deep neural network models for practical
    applications", 2016, figure 2.
    """
    function = "plot_costs"
    scores = as_array(function, "scores", scores, "(n,)").astype(float)
    names = check_texts(function, "names", names, len(scores), "network")
    macs, params = (
        _amounts(function, name, values, len(scores)) for name, values in {"macs": macs, "params": params}.items()
    )
    ax = one_axes(function, ax, (8, 5))

    areas = LARGEST * params / params.max()
    look = {"color": COLOURS[0], "alpha": 0.45, "edgecolor": COLOURS[0], "linewidth": 1}
    ax.scatter(macs / 1e9, scores, areas, clip_on=False, **look)  # whole, even where it reaches past the axis
    ax.scatter(macs / 1e9, scores, 6, color="black")
    ax.set(xlabel="multiply-adds for one image (billions)", ylabel=ylabel)
    ax.grid(color="0.9")
    ax.set_axisbelow(True)
    ax.margins(0.14, 0.16)
    ax.set_xlim(left=0)
    ax.set_title(title or f"area = parameters; best: {names[int(scores.argmax())]}", fontsize="medium")
    texts = [f"{name}, {_millions(count)} M" for name, count in zip(names, params, strict=True)]
    _label_bubbles(ax, macs / 1e9, scores, np.sqrt(areas / np.pi), texts)
    return ax


def plot_inception(filters, channels, *, ax=None, title=None):
    """Draw an Inception module as boxes, from the input at the bottom to the stacked maps on top.

    Args:
        filters: six ints >= 1, (#1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool projection) as for
            `layers.Inception`.
        channels: int >= 1, channels of the input.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the channels that go in and come out.

    Returns:
        Axes. Every box names its kernel, its channels and, where it has any, its weights (biases not counted).

    Raises:
        ValueError: not six filters, or a number that is not an integer >= 1.

    Example:
        >>> plot_inception((64, 96, 128, 16, 32, 32), 192).get_title()
        '192 channels in, 64 + 128 + 32 + 32 = 256 out'

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, figure 2(b).
    """
    function = "plot_inception"
    filters = shapes.per_axis_ints(function, "filters", filters, 6)
    channels = _checks.integer(function, "channels", channels, minimum=1)
    one, reduce3, three, reduce5, five, projection = filters
    total = one + three + five + projection
    branches = [
        [(1, channels, one)],
        [(1, channels, reduce3), (3, reduce3, three)],
        [(1, channels, reduce5), (5, reduce5, five)],
        ["pool", (1, channels, projection)],
    ]
    ax = one_axes(function, ax, (8, 3.8))
    _box(ax, 1.5, 0, f"input: {channels} channels", COLOURS[2], width=3.8)
    _box(ax, 1.5, 3, f"output: {total} channels", COLOURS[2], width=3.8)
    for x, layers in enumerate(branches):
        rows = [0, *([1, 2] if len(layers) == 2 else [1.5]), 3]
        for y, layer in zip(rows[1:-1], layers, strict=True):
            if layer == "pool":
                _box(ax, x, y, f"3×3 max pooling\n{channels} channels", COLOURS[3])
            else:
                size, before, after = layer
                weights = f"{size**2 * before * after:,} weights"
                _box(ax, x, y, f"{size}×{size}: {before} → {after}\n{weights}", COLOURS[0 if size == 1 else 1])
        for low, high in pairwise(rows):
            ax.annotate("", (x, high - 0.3), (x, low + 0.3), arrowprops={"arrowstyle": "->", "color": "0.4"})
    ax.set(xlim=(-0.55, 3.55), ylim=(-0.35, 3.35))
    ax.set_axis_off()
    title = title or f"{channels} channels in, {one} + {three} + {five} + {projection} = {total} out"
    ax.set_title(title, fontsize="medium")
    return ax


def _box(ax, x, y, text, colour, width=0.8):
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.24), width, 0.48, boxstyle="round,pad=0.04", facecolor=colour, edgecolor=colour,
            alpha=0.3,
        )
    )  # fmt: skip
    ax.text(x, y, text, ha="center", va="center", fontsize="small")


def _amounts(function, name, values, count):
    values = as_array(function, name, values, "(n,)").astype(float)
    if len(values) != count or not ((values > 0) & np.isfinite(values)).all():
        raise _checks.argument_error(
            function, f"`{name}` must hold {count} finite numbers > 0, one per network",
            f"Give {name} as many numbers as scores", **{name: values.tolist()},
        )  # fmt: skip
    return values


def _millions(count):
    return f"{count / 1e6:.0f}" if count >= 2e6 else f"{count / 1e6:.2g}"


def _label_bubbles(ax, x, y, radii, texts):
    """Write each text beside its bubble (radii in points), where it is least in the way of what is there already."""
    figure = ax.figure
    figure.draw_without_rendering()  # settles the layout, so that pixels mean what they will mean on paper
    pixels = figure.dpi / 72
    middles, renderer = ax.transData.transform(np.column_stack([x, y])), figure.canvas.get_renderer()
    bubbles = [Bbox([middle - r * pixels, middle + r * pixels]) for middle, r in zip(middles, radii, strict=True)]
    frame, placed = ax.get_window_extent(), []
    for number, (text, r) in enumerate(zip(texts, radii, strict=True)):
        label = ax.annotate(
            text, (x[number], y[number]), (0, 0), textcoords="offset points", ha="center", va="center", fontsize="small"
        )
        box = label.get_window_extent(renderer)
        half = np.array([box.width, box.height]) / 2 / pixels
        others = [bubble for i, bubble in enumerate(bubbles) if i != number] + placed

        def cost(offset, box=box, others=others, number=number):
            moved = box.translated(*(offset * pixels))
            outside = moved.width * moved.height - _shared(moved, frame)
            return 10 * (outside + sum(_shared(moved, other) for other in [*others, bubbles[number]])) + np.hypot(
                *offset
            )

        offsets = [
            direction * (r * (1 if 0 in direction else 0.75) + half + gap)
            for gap in (3, 12, 24, 40)
            for direction in DIRECTIONS
        ]
        offset = min(offsets, key=cost)
        label.set_position(offset)
        placed.append(box.translated(*(offset * pixels)))


def _shared(first, second):
    """Return the area two boxes share, in square pixels."""
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return max(width, 0) * max(height, 0)
