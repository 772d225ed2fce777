"""Pictures of where a kernel stands, what it reads and what is added around an image."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from course_cnn import _checks, shapes
from course_cnn.plots._common import (
    COLOURS,
    SMALL,
    as_matrix,
    axes_grid,
    cells_figsize,
    counted,
    draw_cells,
    draw_frame,
    draw_image,
    image_list,
    one_axes,
    short,
    write_numbers,
)
from course_cnn.plots.images import plot_kernel, plot_matrix


def plot_convolution(x, kernel, y, *, stride=1, padding=0, dilation=1, at=None, axes=None, title=None):
    """Draw one step of a convolution: the window on the input, the kernel, and the output cell they make.

    Args:
        x: array (h, w), any value range.
        kernel: array (kh, kw).
        y: array (out_h, out_w), the output, from whatever computed it.
        stride, padding, dilation: those that made y, as in `shapes.output_size`.
        at: (row, col) of the output cell to explain; None for the middle one.
        axes: three Axes; None for a new figure.
        title: str; None for the sum the window gives.

    Returns:
        array of 3 Axes: input, kernel, output.

    Raises:
        ValueError: y has not the shape that x, kernel and the settings give, or `at` lies outside of it.

    Example:
        >>> x, kernel = np.arange(16).reshape(4, 4), np.ones((3, 3))
        >>> axes = plot_convolution(x, kernel, [[45, 54], [81, 90]], at=(0, 1))
        >>> axes[0].figure.get_suptitle()
        'output (0, 1): the 9 products under the frame sum to 54'
    """
    function = "plot_convolution"
    x, kernel, y = as_matrix(function, "x", x), as_matrix(function, "kernel", kernel), as_matrix(function, "y", y)
    windows = shapes.windows(
        x.shape, kernel.shape, stride=stride, padding=padding, dilation=dilation, function=function
    )
    rows, cols = windows
    if y.shape != (rows.out, cols.out):
        raise _checks.argument_error(
            function, "`y` must have the shape that `x`, `kernel` and the settings give",
            f"Pass the stride, padding and dilation that made y, or a y of shape {(rows.out, cols.out)}",
            **{"y.shape": y.shape, "stride": stride, "padding": padding, "dilation": dilation},
        )  # fmt: skip
    at = (rows.out // 2, cols.out // 2) if at is None else tuple(at)
    if len(at) != 2 or not (0 <= at[0] < rows.out and 0 <= at[1] < cols.out):
        raise _checks.argument_error(
            function, "`at` must be a (row, col) inside the output",
            f"Use at most at={(rows.out - 1, cols.out - 1)}", at=at,
        )  # fmt: skip
    tops = [at[0] * rows.stride - rows.before + rows.dilation * i for i in range(rows.taps)]
    lefts = [at[1] * cols.stride - cols.before + cols.dilation * j for j in range(cols.taps)]

    if title is None:
        padded = np.pad(x.astype(float), [(axis.before, axis.after) for axis in windows])
        patch = padded[np.ix_([i + rows.before for i in tops], [j + cols.before for j in lefts])]
        total = (patch * kernel).sum()
        note = "" if np.isclose(total, y[at]) else f", y holds {short(y[at])}"
        title = f"output {at}: the {kernel.size} products under the frame sum to {short(total)}{note}"
    if axes is None:
        widths = [cols.before + cols.size + cols.after, cols.taps, cols.out]
        widths = [max(width, 0.45 * max(widths)) for width in widths]
        shape = {"figsize": (11, 4.2), "layout": "constrained", "width_ratios": widths}
        axes = plt.subplots(1, 3, **shape)[1]
    axes = axes_grid(function, 3, 3, axes, title=title)

    _draw_padded(axes[0], x, windows, x.min(), x.max())
    draw_frame(axes[0], tops[0], lefts[0], tops[0] + rows.span, lefts[0] + cols.span)
    if rows.dilation > 1 or cols.dilation > 1:
        for i in tops:
            for j in lefts:
                draw_frame(axes[0], i, j, i + 1, j + 1, dash=":")
    axes[0].set_title("input" + (", added zeros hatched" if _added(windows) else ""))
    small = max(kernel.shape) <= SMALL
    plot_kernel(kernel, ax=axes[1], title="kernel", numbers=small)
    signed = y.min() < 0
    plot_matrix(
        y, ax=axes[2], title="output", cmap="RdBu_r" if signed else "gray", numbers=max(y.shape) <= SMALL,
        highlight=[(*at, at[0] + 1, at[1] + 1)],
    )  # fmt: skip
    return axes


def plot_positions(n, kernel_size, *, stride=1, padding=0, dilation=1, ax=None, title=None):
    """Draw where a kernel can stand on a row of pixels: one line per position, its taps dotted.

    Args:
        n: int >= 1, pixels in the row.
        kernel_size: int >= 1, taps.
        stride, padding, dilation: as in `shapes.output_size`.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the number of positions and of pixels that no tap ever reads.

    Returns:
        Axes. Pixels count from 0, added zeros in front of them are negative; the top line is the row itself.

    Raises:
        ValueError: the kernel does not fit, or an argument is out of its range.

    Example:
        >>> plot_positions(n=14, kernel_size=5, stride=4).get_title()
        '3 positions, 1 pixel never read'
    """
    n = _checks.integer("plot_positions", "n", n, minimum=1)
    axis = shapes.window(n, kernel_size, stride=stride, padding=padding, dilation=dilation, function="plot_positions")
    taps = _taps(axis)
    unread = sorted(set(range(n)) - set(taps.ravel().tolist()))
    width = axis.before + n + axis.after
    state = np.zeros((axis.out + 1, width))  # 0 plain, 1 tap, 2 never read; line 0 is the row of pixels
    for line, columns in enumerate(taps + axis.before, start=1):
        state[line, columns] = 1
    state[:, np.add(unread, axis.before).astype(int)] = 2

    ax = one_axes("plot_positions", ax, (min(12, max(5, 0.35 * width + 2)), min(10, 0.3 * axis.out + 1.9)))
    cmap = ListedColormap(["none", COLOURS[0], COLOURS[8]])
    edges = (-axis.before - 0.5, n + axis.after - 0.5, axis.out + 0.5, -0.5)
    ax.imshow(state, cmap=cmap, vmin=0, vmax=2, extent=edges, aspect="auto")
    if width <= 4 * SMALL:
        ax.vlines(np.arange(edges[0], edges[1] + 1), -0.5, axis.out + 0.5, color="0.7", linewidth=0.5)
        ax.hlines(np.arange(0.5, axis.out + 1), *edges[:2], color="0.7", linewidth=0.5)
    ax.axhline(0.5, color="0.3", linewidth=1.5)
    size = min(6, 140 / max(width, axis.out))
    lines = np.repeat(np.arange(1, axis.out + 1), axis.taps)
    ax.plot(taps.ravel(), lines, "o", color="white", markersize=size, label="_taps")
    handles = [Patch(facecolor=COLOURS[0], label="tap of the kernel")]
    if axis.before or axis.after:
        for start, extent in ((edges[0], axis.before), (n - 0.5, axis.after)):
            ax.add_patch(Rectangle((start, -0.5), extent, axis.out + 1, **_ZERO, zorder=-1))
        handles.append(Patch(label="added zero", **_ZERO))
    if unread:
        ax.plot(unread, np.zeros(len(unread)), "x", color="black", markersize=size + 1, label="_unread")
        handles.append(Patch(facecolor=COLOURS[8], label="pixel never read (×)"))
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=15, integer=True))
    lines = range(1, axis.out + 1, -(-axis.out // 15))
    ax.set_yticks([0, *lines], ["row", *(str(line - 1) for line in lines)])
    ax.set(xlabel="place (pixels)", ylabel="position")
    if title is None:
        title = f"{counted(axis.out, 'position')}, {counted(len(unread), 'pixel')} never read"
    ax.set_title(title)
    return ax


def plot_padding(image, *, kernel_size, padding, stride=1, dilation=1, ax=None, title=None):
    """Draw an image inside its ring of added zeros, which are hatched; the frame is the border of the image.

    Args:
        image: array (h, w), any value range, or (h, w, 3), in [0, 1] or uint8.
        kernel_size: int >= 1, or (kh, kw): "same", "full" and "causal" count their zeros from it.
        padding, stride, dilation: as in `shapes.output_size`; padding also ((top, bottom), (left, right)).
        ax: Axes to draw on; None for a new figure.
        title: str; None for the zeros on each side and the size of the output.

    Returns:
        Axes, in pixels of the image: (0, 0) is its first pixel, the zeros before it are negative.

    Raises:
        ValueError: the kernel does not fit, or an argument is out of its range.

    Example:
        >>> plot_padding(np.ones((5, 5)), kernel_size=3, padding="same").get_title()
        '5×5 and zeros (1 top, 1 bottom, 1 left, 1 right)\\nmake 7×7; out comes 5×5'
    """
    function = "plot_padding"
    image = image_list(function, [image])[0]
    sizes = shapes.per_axis_ints(function, "kernel_size", kernel_size, 2)
    windows = shapes.windows(
        image.shape[:2], sizes, stride=stride, padding=padding, dilation=dilation, function=function
    )
    rows, cols = windows
    h, w = (axis.before + axis.size + axis.after for axis in windows)
    ax = one_axes(function, ax, cells_figsize(h, w, least=5))
    if image.ndim == 2:
        _draw_padded(ax, image, windows, min(0, image.min()), image.max())
    else:
        _draw_padded(ax, image, windows, 0, 255 if image.dtype == np.uint8 else 1)
    if title is None:
        zeros = f"{rows.before} top, {rows.after} bottom, {cols.before} left, {cols.after} right"
        title = f"{rows.size}×{cols.size} and zeros ({zeros})\nmake {h}×{w}; out comes {rows.out}×{cols.out}"
    ax.set_title(title, fontsize="medium")
    return ax


def coverage_counts(size, kernel_size, *, stride=1, padding=0, dilation=1):
    """Count how many windows read each pixel of the input.

    Args:
        size: int for a square input, or (h, w), pixels.
        kernel_size: int >= 1, or (kh, kw).
        stride, padding, dilation: as in `shapes.output_size`, or one int per axis.

    Returns:
        int array (h, w).

    Raises:
        ValueError: the kernel does not fit, or an argument is out of its range.

    Example:
        >>> coverage_counts(4, 3)
        array([[1, 2, 2, 1],
               [2, 4, 4, 2],
               [2, 4, 4, 2],
               [1, 2, 2, 1]])
    """
    return _coverage("coverage_counts", size, kernel_size, stride, padding, dilation)


def plot_coverage(size, kernel_size, *, stride=1, padding=0, dilation=1, ax=None, title=None):
    """Draw how many windows read each pixel of the input: few at the border, none where a stride leaves it out (×).

    Args:
        size, kernel_size, stride, padding, dilation: as for `coverage_counts`.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the lowest and the highest count.

    Returns:
        Axes. Counts are written into inputs of up to 16 pixels a side; larger ones get a colour bar.

    Raises:
        ValueError: as for `coverage_counts`.

    Example:
        >>> plot_coverage(6, 3).get_title()
        'each pixel is read by 1 to 9 windows'
    """
    counts = _coverage("plot_coverage", size, kernel_size, stride, padding, dilation)
    h, w = counts.shape
    small = max(h, w) <= SMALL
    if title is None:
        unread = f";\n{counted(int((counts == 0).sum()), 'pixel')} by none" if (counts == 0).any() else ""
        title = f"each pixel is read by {counts.min()} to {counts.max()} windows{unread}"
    ax = one_axes("plot_coverage", ax, cells_figsize(h, w, least=4.4))
    plot_matrix(counts, ax=ax, title=title, cmap="viridis", vmin=0, vmax=max(1, counts.max()), numbers=small)
    if not small:
        ax.figure.colorbar(ax.images[0], ax=ax, label="windows that read the pixel")
    rows, cols = np.nonzero(counts == 0)
    ax.plot(cols, rows, "x", color="white", markersize=min(10, 120 / max(h, w)), label="never read")
    for text in ax.texts:
        text.set_visible(text.get_text() != "0")  # the cross says it
    return ax


_ZERO = {"facecolor": "0.95", "edgecolor": "0.7", "hatch": "////", "linewidth": 0}  # how an added zero looks


def _draw_padded(ax, image, windows, low, high):
    """Draw an image and its added zeros, in pixels of the image, with the image's border and small numbers."""
    rows, cols = windows
    h, w = (axis.before + axis.size + axis.after for axis in windows)
    picture = draw_image(ax, image, low, high)
    draw_cells(ax, h, w, top=-rows.before, left=-cols.before)
    left, top, right, bottom = -cols.before - 0.5, -rows.before - 0.5, cols.size - 0.5, rows.size - 0.5
    bands = [
        (left, top, w, rows.before), (left, bottom, w, rows.after),
        (left, -0.5, cols.before, rows.size), (right, -0.5, cols.after, rows.size),
    ]  # fmt: skip
    for x, y, width, height in bands:
        if width and height:
            ax.add_patch(Rectangle((x, y), width, height, **_ZERO, zorder=0))
    if max(h, w) <= SMALL and image.ndim == 2:
        write_numbers(ax, picture, image, cells=max(h, w))
        for i, j in np.ndindex(h, w):
            i, j = i - rows.before, j - cols.before
            if not (0 <= i < rows.size and 0 <= j < cols.size):
                ax.text(j, i, "0", ha="center", va="center", fontsize=ax.texts[0].get_fontsize())
    if _added(windows):
        draw_frame(ax, 0, 0, rows.size, cols.size, colour=COLOURS[0], width=2)


def _added(windows):
    return any(axis.before or axis.after for axis in windows)


def _taps(axis):
    """Return the place of every tap, int array (positions, taps); pixel 0 is 0, zeros in front are negative."""
    starts = np.arange(axis.out) * axis.stride - axis.before
    return starts[:, None] + np.arange(axis.taps) * axis.dilation


def _coverage(function, size, kernel_size, stride, padding, dilation):
    sizes = shapes.per_axis_ints(function, "size", size, 2)
    kernel_sizes = shapes.per_axis_ints(function, "kernel_size", kernel_size, 2)
    windows = shapes.windows(sizes, kernel_sizes, stride=stride, padding=padding, dilation=dilation, function=function)
    along = []
    for axis in windows:
        places = _taps(axis).ravel()
        along.append(np.bincount(places[(places >= 0) & (places < axis.size)], minlength=axis.size))
    return np.outer(*along)
