"""What all pictures share: colours, checks of what came in, Axes, cells, frames and short numbers."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from course_cnn import _checks

COLOURS = plt.style.library["tableau-colorblind10"]["axes.prop_cycle"].by_key()["color"]
DASHES = ("-", "--", ":", "-.")
MARKERS = "os^DvPX*<>"
SMALL = 16  # cells a side: up to here numbers in cells can be read


def as_array(function, name, array, axes):
    """Return `array` as a non-empty numeric NumPy array with the axes written in `axes`."""
    try:
        array = np.asarray(array)
    except ValueError:  # rows of different length
        array = np.empty(0, object)
    if array.dtype.kind not in "buif":
        raise _checks.argument_error(
            function, f"`{name}` must be an array of numbers {axes}", "Give every row the same number of numbers",
            **{f"{name}.dtype": array.dtype.name},
        )  # fmt: skip
    _checks.rank(function, name, array, axes)
    if array.size == 0:
        raise _checks.argument_error(
            function,
            f"`{name}` must hold at least one number",
            f"Look at {name}.shape",
            **{f"{name}.shape": array.shape},
        )
    return array


def as_matrix(function, name, array):
    """Return `array` as (h, w); one axis becomes one row."""
    array = np.asarray(array) if np.ndim(array) != 1 else np.asarray(array)[None]
    return as_array(function, name, array, "(h, w)")


def value_range(function, name, pair):
    """Return (low, high) as floats, or raise."""
    numbers = np.ravel(np.asarray(pair, dtype=object)).tolist()
    if len(numbers) != 2 or not all(isinstance(n, (int, float)) for n in numbers) or not numbers[0] < numbers[1]:
        raise _checks.argument_error(
            function, f"`{name}` must be (low, high) with low < high", f"Use for example {name}=(-1, 1)", **{name: pair}
        )
    return tuple(map(float, numbers))


def image_list(function, images):
    """Return the images of a batch or a list as arrays (h, w) or (h, w, 3 or 4)."""
    if isinstance(images, (list, tuple)):
        images = [np.asarray(image) for image in images]
    else:
        images = np.asarray(images)
        if images.ndim not in (3, 4) or (images.ndim == 3 and images.shape[2] in (1, 3) and images.shape[1] > SMALL):
            raise _checks.argument_error(
                function, "`images` must be a batch (n, h, w) or (n, h, w, c), or a list of images",
                "For one image, use [image]", **{"images.shape": images.shape},
            )  # fmt: skip
    if len(images) == 0:
        raise _checks.argument_error(function, "there must be at least one image", "Look at len(images)", images=0)
    checked = []
    for number, image in enumerate(images):
        name = f"images[{number}]"
        if image.ndim == 3 and image.shape[2] not in (1, 3, 4):
            raise _checks.argument_error(
                function, f"`{name}` must have 1, 3 or 4 channels, last",
                "Draw one channel, for example image[:, :, 0], or all with plot_feature_maps", shape=image.shape,
            )  # fmt: skip
        image = as_array(function, name, image, "(h, w)" if image.ndim != 3 else "(h, w, c)")
        checked.append(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    return checked


def largest(values):
    """Return the largest magnitude, for a scale centred on zero; 1 where all are zero. NaN stays undrawn."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0


def one_axes(function, ax, figsize):
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise _checks.argument_error(
            function, "`ax` must be one matplotlib Axes", "Use fig, ax = plt.subplots() and pass ax",
            **{"type(ax)": type(ax).__name__},
        )  # fmt: skip
    return ax


def cells_figsize(h, w, *, least=3.2):
    """Return the size of a figure for h times w cells, in inches: half an inch a cell, six for all of them."""
    cell = min(0.5, 6 / max(h, w))
    return max(least, w * cell + 1.2), max(2.2, h * cell + 1.2)


def axes_grid(function, count, columns, axes, *, titles=None, title=None):
    """Return `count` Axes, in `columns` columns of a new figure or from those given, titled."""
    if titles is not None:
        titles = check_texts(function, "titles", titles, count, "image")
    columns = min(count, 8) if columns is None else _checks.integer(function, "columns", columns, minimum=1)
    if axes is None:
        columns = min(columns, count)
        rows = -(-count // columns)
        size = max(1.1 if titles is None else 1.5, min(2.4, 8 / columns))  # inches; a few are drawn larger
        figsize = (max(3.2, columns * size), rows * size * (1 if titles is None else 1.15) + 0.4 * (title is not None))
        axes = plt.subplots(rows, columns, figsize=figsize, squeeze=False, layout="constrained")[1].ravel()
        for ax in axes[count:]:
            ax.remove()
    axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(axes) < count or not all(isinstance(ax, Axes) for ax in axes):
        raise _checks.argument_error(
            function, f"`axes` must hold {count} matplotlib Axes", f"Use plt.subplots(1, {count})[1]",
            **{"len(axes)": len(axes)},
        )  # fmt: skip
    axes = axes[:count]
    for ax, text in zip(axes, titles or [], strict=False):
        ax.set_title(text, fontsize="small")
    if title is not None:
        axes[0].figure.suptitle(title)
    return axes


def draw_cells(ax, h, w, *, top=0, left=0):
    """Draw the lines between the cells of a matrix; put a number on every row and column, or on every few."""
    edges_x, edges_y = np.arange(w + 1) + left - 0.5, np.arange(h + 1) + top - 0.5
    if max(h, w) <= 2 * SMALL:
        ax.vlines(edges_x, edges_y[0], edges_y[-1], color="0.6", linewidth=0.6)
        ax.hlines(edges_y, edges_x[0], edges_x[-1], color="0.6", linewidth=0.6)
    ax.set(xlim=(edges_x[0], edges_x[-1]), ylim=(edges_y[-1], edges_y[0]))
    for axis, start, count in ((ax.xaxis, left, w), (ax.yaxis, top, h)):
        if count <= SMALL:
            axis.set_ticks(range(start, start + count))
        else:
            axis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.set(xlabel="column (pixels)", ylabel="row (pixels)")


def write_numbers(ax, picture, matrix, *, cells=0):
    """Write every number into its cell, black or white, whichever stands out more, as large as fits.

    `cells` says how many cells share the width of the Axes where there are more than those of the matrix.
    """
    h, w = matrix.shape
    texts = [short(value) for value in np.ma.getdata(matrix).flat]
    box = ax.get_window_extent()
    cell = min(box.width / max(w, cells), box.height / max(h, cells)) * 72 / ax.figure.dpi  # points
    size = min(12, 0.5 * cell, 1.5 * cell / max(map(len, texts)))
    for (i, j), colour, text in zip(np.ndindex(h, w), picture.to_rgba(matrix).reshape(-1, 4), texts, strict=True):
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color=ink(colour))


def ink(colour):
    """Return "black" or "white", whichever has the higher contrast on `colour` (WCAG 2.2, relative luminance)."""
    linear = np.where(colour[:3] <= 0.04045, colour[:3] / 12.92, ((colour[:3] + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def draw_frame(ax, row0, col0, row1, col1, *, colour=COLOURS[1], dash="-", width=3):
    """Frame the half-open box of cells."""
    ax.add_patch(
        Rectangle((col0 - 0.5, row0 - 0.5), col1 - col0, row1 - row0, fill=False, edgecolor=colour, linestyle=dash,
                  linewidth=width, clip_on=False)
    )  # fmt: skip


def check_texts(function, name, values, count, what):
    values = list(values)
    if len(values) != count:
        raise _checks.argument_error(
            function, f"`{name}` must hold one text per {what}", f"Give {count}", **{f"len({name})": len(values)}
        )
    return values


def class_labels(function, true, predicted, classes):
    """Return both as int arrays (n,), or raise."""
    checked = []
    for name, values in (("true", true), ("predicted", predicted)):
        values = np.asarray(values)
        if values.ndim == 2 and values.dtype.kind in "buif":
            fix = f"{name}.ravel()" if values.shape[1] == 1 else f"{name}.argmax(axis=1)"
            raise _checks.argument_error(
                function, f"`{name}` must be class numbers (n,)", f"Use {fix}", **{f"{name}.shape": values.shape}
            )
        values = as_array(function, name, values, "(n,)")
        if values.dtype.kind not in "ui" or values.min() < 0 or values.max() >= classes:
            raise _checks.argument_error(
                function, f"`{name}` must hold class numbers from 0 to {classes - 1}",
                "Give one class name per class, and integer labels that count from 0",
                **{f"{name}.dtype": values.dtype.name, "lowest": values.min().item(), "highest": values.max().item()},
            )  # fmt: skip
        checked.append(values)
    true, predicted = checked
    if len(true) != len(predicted):
        raise _checks.argument_error(
            function, "`true` and `predicted` must have the same length",
            f"Cut both to {min(len(true), len(predicted))}",
            **{"len(true)": len(true), "len(predicted)": len(predicted)},
        )  # fmt: skip
    return true, predicted


def draw_line(ax, x, y, number, label, **style):
    """Draw curve `number`: its own colour, dash and marker; of many points only some have a marker."""
    look = {
        "color": (COLOURS[0], COLOURS[1], *COLOURS[3:6])[number % 5], "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)], "markersize": 5, "markevery": 1 if len(x) <= 40 else len(x) // 12,
    }  # fmt: skip
    return ax.plot(x, y, label=label, **{**look, **style})[0]


def draw_image(ax, image, low, high, **where):
    if image.ndim == 3:  # imshow knows no limits for colours
        colours = np.clip((image[:, :, :3].astype(float) - low) / ((high - low) or 1), 0, 1)
        alpha = [image[:, :, 3] / (255 if image.dtype == np.uint8 else 1)] if image.shape[2] == 4 else []
        return ax.imshow(np.dstack([colours, *alpha]), **where)
    return ax.imshow(image, cmap="gray", vmin=low, vmax=high, **where)


def short(value):
    """Write a number as short as it can be read: whole numbers whole, others to two figures."""
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.2g}"


def counted(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"
