"""Pictures of the course: arrays and training records in, matplotlib Axes out.

Every function draws on the Axes it is given or makes its own, returns them, and leaves `plt.show()` and the global
style to the caller. Images are grey, amounts viridis, signed values RdBu_r with white at zero; panels of one picture
share their limits.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from course_cnn import _checks, shapes

COLOURS = plt.style.library["tableau-colorblind10"]["axes.prop_cycle"].by_key()["color"]
DASHES = ("-", "--", ":", "-.")
MARKERS = "os^DvPX*<>"
SMALL = 16  # cells a side: up to here numbers in cells can be read


def plot_images(images, *, titles=None, columns=None, vmin=0, vmax=1, axes=None, title=None):
    """Draw images side by side, all with the same black and the same white.

    Args:
        images: array (n, h, w) or (n, h, w, c) with c 1 (grey), 3 (RGB) or 4 (RGBA); or a list of arrays (h, w) or
            (h, w, c), whose sizes may differ.
        titles: sequence of str, one per image.
        columns: int >= 1, images in a row; None for up to 8.
        vmin, vmax: numbers shown black and white; None for the lowest and highest value of all images together.
        axes: array of at least n Axes to draw on; None for a new figure.
        title: str above all images.

    Returns:
        array of n Axes.

    Raises:
        ValueError: an image has the wrong axes, values far above `vmax`, or the counts disagree.

    Example:
        >>> axes = plot_images(np.zeros((3, 8, 8)), titles=["a", "b", "c"])
        >>> len(axes)
        3
    """
    function = "plot_images"
    images = _image_list(function, images)
    low = min(image.min() for image in images) if vmin is None else vmin
    high = max(image.max() for image in images) if vmax is None else vmax
    _check_range(function, images, low, high)
    axes = _grid(function, len(images), columns, axes, titles=titles, title=title)
    for ax, image in zip(axes, images, strict=True):
        _draw_image(ax, image, low, high)
        ax.set(xticks=[], yticks=[])
    return axes


def plot_matrix(matrix, *, ax=None, title=None, cmap="gray", vmin=None, vmax=None, numbers=True, highlight=None):
    """Draw a small matrix as a grid of cells with its numbers written in them.

    Args:
        matrix: array (h, w), or (w,) for one row; any value range.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the size and the range.
        cmap: str, a matplotlib colormap. "RdBu_r" is centred on zero unless vmin or vmax is given.
        vmin, vmax: numbers at the two ends of the colormap; None for the lowest and highest number.
        numbers: bool, write the numbers.
        highlight: list of half-open boxes (row0, col0, row1, col1) to frame, as in matrix[row0:row1, col0:col1].

    Returns:
        Axes.

    Raises:
        ValueError: `matrix` has other axes, or a box reaches out of it.

    Example:
        >>> ax = plot_matrix([[1, 2, 3], [4, 5, 6]], highlight=[(0, 0, 2, 2)])
        >>> ax.get_title()
        '2×3 matrix, values 1 to 6'
    """
    function = "plot_matrix"
    matrix = _matrix(function, "matrix", matrix)
    h, w = matrix.shape
    boxes = [_box(function, box, h, w) for box in ([] if highlight is None else highlight)]
    if vmin is None and vmax is None and cmap == "RdBu_r":
        vmax = _limit(matrix)
        vmin = -vmax
    ax = _axes(function, ax, _figsize(h, w))
    picture = ax.imshow(matrix, cmap=cmap, vmin=vmin, vmax=vmax)
    _cells(ax, h, w)
    if numbers:
        _write_numbers(ax, picture, matrix)
    for number, (row0, col0, row1, col1) in enumerate(boxes):
        _frame(ax, row0, col0, row1, col1, colour=COLOURS[(1, 0, 5, 4)[number % 4]], dash=DASHES[number % 4])
    ax.set_title(f"{h}×{w} matrix, values {_text(matrix.min())} to {_text(matrix.max())}" if title is None else title)
    return ax


def plot_kernel(kernel, *, ax=None, title=None, numbers=False):
    """Draw one kernel: white is zero, red positive, blue negative.

    Args:
        kernel: array (kh, kw), or (k,) for one row; any value range.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the size, the sum and the value of the deepest colour.
        numbers: bool, write the weights.

    Returns:
        Axes.

    Raises:
        ValueError: `kernel` has other axes.

    Example:
        >>> plot_kernel([[1, 0, -1]] * 3).get_title()
        '3×3 kernel, sum 0, deepest red 1'
    """
    kernel = _matrix("plot_kernel", "kernel", kernel)
    limit = _limit(kernel)
    if title is None:
        h, w = kernel.shape
        title = f"{h}×{w} kernel, sum {_text(kernel.sum())}, deepest red {_text(limit)}"
    ax = _axes("plot_kernel", ax, (3.7, 3.2))
    return plot_matrix(kernel, ax=ax, title=title, cmap="RdBu_r", vmin=-limit, vmax=limit, numbers=numbers)


def plot_kernels(kernels, *, columns=8, channel=None, titles=None, axes=None, title=None):
    """Draw every filter of a kernel tensor, all on one scale.

    Args:
        kernels: array (kh, kw, c_in, c_out), any value range.
        columns: int >= 1, filters in a row.
        channel: int, the input channel to draw; None draws three channels as colours (mid-grey is zero) and any other
            number as its mean over the channels (white is zero).
        titles: sequence of str, one per filter.
        axes: array of at least c_out Axes; None for a new figure.
        title: str; None for what is drawn.

    Returns:
        array of c_out Axes.

    Raises:
        ValueError: `kernels` has other axes, or there is no such channel.

    Example:
        >>> axes = plot_kernels(np.ones((5, 5, 1, 6)))
        >>> axes[0].figure.get_suptitle()
        '6 filters 5×5, white is zero, deepest red 1'
    """
    function = "plot_kernels"
    kernels = _array(function, "kernels", kernels, "(kh, kw, c_in, c_out)")
    kh, kw, c_in, c_out = kernels.shape
    if channel is not None and _checks.integer(function, "channel", channel, minimum=0) >= c_in:
        raise _checks.argument_error(
            function, f"`channel` must be below the {c_in} input channels", f"Use channel={c_in - 1}", channel=channel
        )
    rgb = channel is None and c_in == 3
    filters = kernels if rgb else kernels.mean(axis=2) if channel is None else kernels[:, :, channel]
    limit = _limit(filters)
    if title is None:
        what = "" if rgb or c_in == 1 else ", mean over channels" if channel is None else f", channel {channel}"
        zero = "mid-grey is zero" if rgb else f"white is zero, deepest red {_text(limit)}"
        title = f"{c_out} filters {kh}×{kw}{what}, {zero}"
    axes = _grid(function, c_out, columns, axes, titles=titles, title=title)
    for number, ax in enumerate(axes):
        one = filters[..., number]
        ax.imshow(0.5 + one / (2 * limit) if rgb else one, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
    return axes


def plot_feature_maps(maps, *, columns=8, titles=None, axes=None, title=None):
    """Draw the channels of one image's feature maps, all on one scale, with its colour bar.

    Args:
        maps: array (h, w, c), one image's output of a layer, any value range. Values of both signs are drawn red and
            blue around a white zero, others from dark (lowest) to yellow (highest).
        columns: int >= 1, maps in a row.
        titles: sequence of str, one per map.
        axes: array of at least c Axes; None for a new figure.
        title: str; None for how many maps of what size.

    Returns:
        array of c Axes.

    Raises:
        ValueError: `maps` has other axes, as with a batch: pass maps[0].

    Example:
        >>> axes = plot_feature_maps(np.ones((14, 14, 6)))
        >>> axes[0].figure.get_suptitle()
        '6 maps of 14×14 on one scale'
    """
    function = "plot_feature_maps"
    maps = _array(function, "maps", maps, "(h, w, c)")
    h, w, c = maps.shape
    if maps.min() < 0:
        limits = {"cmap": "RdBu_r", "vmin": -_limit(maps), "vmax": _limit(maps)}
    else:
        limits = {"cmap": "viridis", "vmin": 0, "vmax": _limit(maps)}
    axes = _grid(
        function, c, columns, axes, titles=titles, title=title or f"{c} map{'s' * (c > 1)} of {h}×{w} on one scale"
    )
    for number, ax in enumerate(axes):
        picture = ax.imshow(maps[:, :, number], **limits)
        ax.set(xticks=[], yticks=[])
    axes[0].figure.colorbar(picture, ax=list(axes), label="value")
    return axes


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
    x, kernel, y = _matrix(function, "x", x), _matrix(function, "kernel", kernel), _matrix(function, "y", y)
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
        note = "" if np.isclose(total, y[at]) else f", y holds {_text(y[at])}"
        title = f"output {at}: the {kernel.size} products under the frame sum to {_text(total)}{note}"
    if axes is None:
        widths = [cols.before + cols.size + cols.after, cols.taps, cols.out]
        widths = [max(width, 0.45 * max(widths)) for width in widths]
        shape = {"figsize": (11, 4.2), "layout": "constrained", "width_ratios": widths}
        axes = plt.subplots(1, 3, **shape)[1]
    axes = _grid(function, 3, 3, axes, title=title)

    _draw_padded(axes[0], x, windows, x.min(), x.max())
    _frame(axes[0], tops[0], lefts[0], tops[0] + rows.span, lefts[0] + cols.span)
    if rows.dilation > 1 or cols.dilation > 1:
        for i in tops:
            for j in lefts:
                _frame(axes[0], i, j, i + 1, j + 1, dash=":")
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

    ax = _axes("plot_positions", ax, (min(12, max(5, 0.35 * width + 2)), min(10, 0.3 * axis.out + 1.9)))
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
        title = f"{_count(axis.out, 'position')}, {_count(len(unread), 'pixel')} never read"
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
    image = _image_list(function, [image])[0]
    sizes = shapes.per_axis_ints(function, "kernel_size", kernel_size, 2)
    windows = shapes.windows(
        image.shape[:2], sizes, stride=stride, padding=padding, dilation=dilation, function=function
    )
    rows, cols = windows
    h, w = (axis.before + axis.size + axis.after for axis in windows)
    ax = _axes(function, ax, _figsize(h, w, least=5))
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
        unread = f";\n{_count(int((counts == 0).sum()), 'pixel')} by none" if (counts == 0).any() else ""
        title = f"each pixel is read by {counts.min()} to {counts.max()} windows{unread}"
    ax = _axes("plot_coverage", ax, _figsize(h, w, least=4.4))
    plot_matrix(counts, ax=ax, title=title, cmap="viridis", vmin=0, vmax=max(1, counts.max()), numbers=small)
    if not small:
        ax.figure.colorbar(ax.images[0], ax=ax, label="windows that read the pixel")
    rows, cols = np.nonzero(counts == 0)
    ax.plot(cols, rows, "x", color="white", markersize=min(10, 120 / max(h, w)), label="never read")
    for text in ax.texts:
        text.set_visible(text.get_text() != "0")  # the cross says it
    return ax


def plot_training(record, *, axes=None, title=None):
    """Draw loss and accuracy over the epochs, training solid, validation dashed.

    Args:
        record: training record or Keras History, anything whose `.history` is a dict of lists with one number per
            epoch; or that dict. Keys "loss" and "accuracy" (a fraction), and "val_loss", "val_accuracy" where there
            was validation.
        axes: two Axes, for loss and accuracy; None for a new figure.
        title: str above both; None for none, as each panel's title says what to see.

    Returns:
        array of 2 Axes. Epochs count from 1.

    Raises:
        ValueError: "loss" or "accuracy" is missing or empty, or the lists differ in length.

    Example:
        >>> history = {"loss": [0.9, 0.4, 0.2], "accuracy": [0.7, 0.8, 0.9],
        ...            "val_loss": [0.8, 0.5, 0.6], "val_accuracy": [0.7, 0.8, 0.8]}
        >>> [ax.get_title() for ax in plot_training(history)]
        ['validation loss is lowest after epoch 2 of 3', 'validation accuracy ends at 0.800, training at 0.900']
    """
    function = "plot_training"
    history = getattr(record, "history", record)
    if not isinstance(history, dict) or not {"loss", "accuracy"} <= set(history):
        keys = sorted(history) if isinstance(history, dict) else type(history).__name__
        raise _checks.argument_error(
            function, "`record` must hold lists under 'loss' and 'accuracy'",
            "Compile with metrics=['accuracy'] and pass what fit returns", record=keys,
        )  # fmt: skip
    known = ("loss", "accuracy", "val_loss", "val_accuracy")
    curves = {key: _array(function, key, history[key], "(epochs,)") for key in known if history.get(key) is not None}
    epochs = len(curves["loss"])
    lengths = {key: len(values) for key, values in curves.items()}
    if set(lengths.values()) != {epochs}:
        raise _checks.argument_error(
            function, "all lists of `record` must have one number per epoch",
            f"Cut or fill them to {epochs} numbers", **lengths,
        )  # fmt: skip
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")[1]
    axes = _grid(function, 2, 2, axes, title=title)
    for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
        _line(ax, range(1, epochs + 1), curves[key], 0, "training")
        if f"val_{key}" in curves:
            _line(ax, range(1, epochs + 1), curves[f"val_{key}"], 1, "validation")
        ax.set(xlabel="epoch", ylabel="accuracy (fraction right)" if key == "accuracy" else key)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_xlim(0.5, epochs + 0.5)
        ax.legend()
    what, best = ("validation", "val_loss") if "val_loss" in curves else ("training", "loss")
    axes[0].set_title(f"{what} loss is lowest after epoch {curves[best].argmin() + 1} of {epochs}", fontsize="medium")
    ends = f"training at {curves['accuracy'][-1]:.3f}"
    if "val_accuracy" in curves:
        ends = f"validation accuracy ends at {curves['val_accuracy'][-1]:.3f}, {ends}"
    else:
        ends = f"training accuracy ends{ends.removeprefix('training')}"
    axes[1].set_title(ends, fontsize="medium")
    return axes


def plot_bands(x, curves, *, ax=None, labels=None, xlabel="", ylabel="", title=None):
    """Draw curves measured with several seeds: the mean as a line, lowest to highest as a band.

    Args:
        x: array (points,), what was varied, such as epochs or the number of training images.
        curves: dict from label to array (seeds, points).
        ax: Axes to draw on; None for a new figure.
        labels: sequence of str, one per curve, in place of the keys.
        xlabel, ylabel: str, with units.
        title: str; None for the curve whose mean ends highest.

    Returns:
        Axes.

    Raises:
        ValueError: a curve has other axes than (seeds, points), or the counts disagree.

    Example:
        >>> ax = plot_bands([1, 2], {"plain": [[0.5, 0.7], [0.6, 0.8]], "with dropout": [[0.4, 0.8], [0.6, 0.9]]})
        >>> ax.get_title()
        '"with dropout" ends highest on average (0.85)'
        >>> ax.get_legend().get_title().get_text()
        'mean of 2 seeds, band: lowest to highest'
    """
    function = "plot_bands"
    x = _array(function, "x", x, "(points,)")
    if not isinstance(curves, dict) or not curves:
        raise _checks.argument_error(
            function, "`curves` must be a dict from label to array (seeds, points)", 'Use {"my curve": array}',
            **{"type(curves)": type(curves).__name__},
        )  # fmt: skip
    names = _names(function, "labels", list(curves) if labels is None else labels, len(curves), "curve")
    arrays = [_array(function, f"curves[{key!r}]", values, "(seeds, points)") for key, values in curves.items()]
    for name, values in zip(names, arrays, strict=True):
        if values.shape[1] != len(x):
            raise _checks.argument_error(
                function, f"curve {name!r} has {values.shape[1]} points but `x` has {len(x)}",
                "Give curves as (seeds, points), one column per number of x", shape=values.shape,
            )  # fmt: skip
    ax = _axes(function, ax, (6, 3.8))
    for number, (name, values) in enumerate(zip(names, arrays, strict=True)):
        line = _line(ax, x, values.mean(axis=0), number, name)
        ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.2, linewidth=0)
    seeds = sorted({len(values) for values in arrays})
    count = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else _count(seeds[0], "seed")
    meaning = f"mean of {count}, band: lowest to highest" if seeds[-1] > 1 else "one seed: no band"
    ax.legend(title=meaning, fontsize="small", title_fontsize="small")
    ends = [values[:, -1].mean() for values in arrays]
    best = int(np.argmax(ends))
    ax.set_title(f'"{names[best]}" ends highest on average ({ends[best]:.2f})' if title is None else title)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def plot_confusion(true, predicted, class_names, *, ax=None, title=None):
    """Draw who is taken for whom: one row per true class, one column per predicted class, counts in the cells.

    Mistakes are coloured from dark (none) to yellow (the most frequent one); the diagonal, right answers, stays white
    in a frame, as its large counts would drown the rest.

    Args:
        true: int array (n,), class numbers from 0.
        predicted: int array (n,), class numbers from 0.
        class_names: sequence of str, one per class.
        ax: Axes to draw on; None for a new figure.
        title: str; None for how many are right and the most frequent mistake.

    Returns:
        Axes.

    Raises:
        ValueError: the arrays differ in length, or hold anything else than class numbers.

    Example:
        >>> plot_confusion([0, 0, 1, 1], [0, 1, 1, 1], ["cat", "dog"]).get_title()
        '3 of 4 right;\\nmost often "cat" is taken for "dog" (once)'

    Counts are `sklearn.metrics.confusion_matrix`.
    """
    from sklearn.metrics import confusion_matrix  # here, as it takes longer to import than all the rest

    function = "plot_confusion"
    class_names = list(class_names)
    k = len(class_names)
    true, predicted = _labels(function, true, predicted, k)
    counts = confusion_matrix(true, predicted, labels=range(k))
    mistakes = np.ma.masked_array(counts, mask=np.eye(k, dtype=bool))
    ax = _axes(function, ax, (max(4, 0.55 * k + 1.8), max(3.4, 0.5 * k + 1.8)))
    cmap = plt.get_cmap("viridis").with_extremes(bad="white")
    picture = ax.imshow(mistakes, cmap=cmap, vmin=0, vmax=max(1, mistakes.filled(0).max()))
    _cells(ax, k, k)
    _write_numbers(ax, picture, mistakes)
    for i in range(k):
        _frame(ax, i, i, i + 1, i + 1, colour="black", width=1.5)
    ax.set_xticks(range(k), class_names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(k), class_names)
    ax.set(xlabel="predicted class", ylabel="true class")
    if title is None:
        title = f"{np.trace(counts)} of {len(true)} right"
        i, j = np.unravel_index(mistakes.filled(0).argmax(), counts.shape)
        if counts[i, j] and i != j:
            times = "once" if counts[i, j] == 1 else f"{counts[i, j]} times"
            title += f';\nmost often "{class_names[i]}" is taken for "{class_names[j]}" ({times})'
    ax.set_title(title, fontsize="medium")
    return ax


def plot_mistakes(
    images, true, predicted, class_names, *, confidence=None, most=12, columns=6, vmin=0, vmax=1, title=None
):
    """Draw the images a model got wrong, each under "true → predicted".

    Args:
        images: array (n, h, w) or (n, h, w, c), as for `plot_images`.
        true, predicted: int arrays (n,), class numbers from 0.
        class_names: sequence of str, one per class.
        confidence: array (n,), probability of the predicted class; written below the names, and the surest mistakes
            come first. None keeps the order of the images.
        most: int >= 1, at most so many images.
        columns: int >= 1, images in a row.
        vmin, vmax: as for `plot_images`.
        title: str; None for how many there are.

    Returns:
        array of Axes, one per image drawn; a single one that says so where there is no mistake.

    Raises:
        ValueError: the arrays differ in length, or hold anything else than class numbers.

    Example:
        >>> axes = plot_mistakes(np.zeros((3, 8, 8)), [0, 1, 1], [0, 0, 1], ["cat", "dog"], confidence=[0.9, 0.6, 0.8])
        >>> [ax.get_title() for ax in axes]
        ['dog → cat\\n0.60']
    """
    function = "plot_mistakes"
    images = _image_list(function, images)
    class_names = list(class_names)
    true, predicted = _labels(function, true, predicted, len(class_names))
    most = _checks.integer(function, "most", most, minimum=1)
    lengths = {"images": len(images), "true": len(true)}
    if confidence is not None:
        confidence = _array(function, "confidence", confidence, "(n,)")
        lengths["confidence"] = len(confidence)
    if len(set(lengths.values())) > 1:
        raise _checks.argument_error(
            function, "there must be one label and one confidence per image",
            f"Cut them all to the first {min(lengths.values())}", **lengths,
        )  # fmt: skip
    wrong = np.flatnonzero(true != predicted)
    total = len(wrong)
    if not total:
        ax = _axes(function, None, (4, 2))
        ax.set_axis_off()
        ax.set_title(f"no mistakes among {_count(len(true), 'image')}" if title is None else title)
        return np.array([ax])
    if confidence is not None:
        wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    wrong = wrong[:most]
    if title is None:
        order = ", the surest first" if confidence is not None else ""
        title = f"{_count(total, 'mistake')} among {_count(len(true), 'image')}"
        title += f", here {len(wrong)}{order}" if len(wrong) < total else order
    titles = [
        _pair(class_names[true[i]], class_names[predicted[i]])
        + ("" if confidence is None else f"\n{confidence[i]:.2f}")
        for i in wrong
    ]
    shown = [images[i] for i in wrong]
    return plot_images(shown, titles=titles, columns=columns, vmin=vmin, vmax=vmax, title=title)


_ZERO = {"facecolor": "0.95", "edgecolor": "0.7", "hatch": "////", "linewidth": 0}  # how an added zero looks


def _array(function, name, array, axes):
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


def _matrix(function, name, array):
    """Return `array` as (h, w); one axis becomes one row."""
    array = np.asarray(array) if np.ndim(array) != 1 else np.asarray(array)[None]
    return _array(function, name, array, "(h, w)")


def _image_list(function, images):
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
        image = _array(function, name, image, "(h, w)" if image.ndim != 3 else "(h, w, c)")
        checked.append(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    return checked


def _check_range(function, images, low, high):
    """Raise where images of 0 to 255 would all be drawn white."""
    highest = max(image.max() for image in images)
    whole = all(image.dtype.kind in "ui" for image in images)
    if highest > (high if whole else low + 10 * (high - low)):
        raise _checks.argument_error(
            function, f"values reach {_text(highest)} but `vmax` draws {_text(high)} white",
            f"Use vmax={255 if high < highest <= 255 else None}, or divide the images", vmin=low, vmax=high,
        )  # fmt: skip


def _draw_image(ax, image, low, high, **where):
    if image.ndim == 3:  # imshow knows no limits for colours
        colours = np.clip((image[:, :, :3].astype(float) - low) / ((high - low) or 1), 0, 1)
        alpha = [image[:, :, 3] / (255 if image.dtype == np.uint8 else 1)] if image.shape[2] == 4 else []
        return ax.imshow(np.dstack([colours, *alpha]), **where)
    return ax.imshow(image, cmap="gray", vmin=low, vmax=high, **where)


def _draw_padded(ax, image, windows, low, high):
    """Draw an image and its added zeros, in pixels of the image, with the image's border and small numbers."""
    rows, cols = windows
    h, w = (axis.before + axis.size + axis.after for axis in windows)
    picture = _draw_image(ax, image, low, high)
    _cells(ax, h, w, top=-rows.before, left=-cols.before)
    left, top, right, bottom = -cols.before - 0.5, -rows.before - 0.5, cols.size - 0.5, rows.size - 0.5
    bands = [
        (left, top, w, rows.before), (left, bottom, w, rows.after),
        (left, -0.5, cols.before, rows.size), (right, -0.5, cols.after, rows.size),
    ]  # fmt: skip
    for x, y, width, height in bands:
        if width and height:
            ax.add_patch(Rectangle((x, y), width, height, **_ZERO, zorder=0))
    if max(h, w) <= SMALL and image.ndim == 2:
        _write_numbers(ax, picture, image, cells=max(h, w))
        for i, j in np.ndindex(h, w):
            i, j = i - rows.before, j - cols.before
            if not (0 <= i < rows.size and 0 <= j < cols.size):
                ax.text(j, i, "0", ha="center", va="center", fontsize=ax.texts[0].get_fontsize())
    if _added(windows):
        _frame(ax, 0, 0, rows.size, cols.size, colour=COLOURS[0], width=2)


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


def _limit(values):
    """Return the largest magnitude, for a scale centred on zero; 1 where all are zero. NaN stays undrawn."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0


def _axes(function, ax, figsize):
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise _checks.argument_error(
            function, "`ax` must be one matplotlib Axes", "Use fig, ax = plt.subplots() and pass ax",
            **{"type(ax)": type(ax).__name__},
        )  # fmt: skip
    return ax


def _figsize(h, w, *, least=3.2):
    """Return the size of a figure for h times w cells, in inches: half an inch a cell, six for all of them."""
    cell = min(0.5, 6 / max(h, w))
    return max(least, w * cell + 1.2), max(2.2, h * cell + 1.2)


def _grid(function, count, columns, axes, *, titles=None, title=None):
    """Return `count` Axes, in `columns` columns of a new figure or from those given, titled."""
    if titles is not None:
        titles = _names(function, "titles", titles, count, "image")
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


def _cells(ax, h, w, *, top=0, left=0):
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


def _write_numbers(ax, picture, matrix, *, cells=0):
    """Write every number into its cell, black or white, whichever stands out more, as large as fits.

    `cells` says how many cells share the width of the Axes where there are more than those of the matrix.
    """
    h, w = matrix.shape
    texts = [_text(value) for value in np.ma.getdata(matrix).flat]
    box = ax.get_window_extent()
    cell = min(box.width / max(w, cells), box.height / max(h, cells)) * 72 / ax.figure.dpi  # points
    size = min(12, 0.5 * cell, 1.5 * cell / max(map(len, texts)))
    for (i, j), colour, text in zip(np.ndindex(h, w), picture.to_rgba(matrix).reshape(-1, 4), texts, strict=True):
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color=_ink(colour))


def _ink(colour):
    """Return "black" or "white", whichever has the higher contrast on `colour` (WCAG 2.2, relative luminance)."""
    linear = np.where(colour[:3] <= 0.04045, colour[:3] / 12.92, ((colour[:3] + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def _frame(ax, row0, col0, row1, col1, *, colour=COLOURS[1], dash="-", width=3):
    """Frame the half-open box of cells."""
    ax.add_patch(
        Rectangle((col0 - 0.5, row0 - 0.5), col1 - col0, row1 - row0, fill=False, edgecolor=colour, linestyle=dash,
                  linewidth=width, clip_on=False)
    )  # fmt: skip


def _box(function, box, h, w):
    box = tuple(np.ravel(box).tolist())
    fits = len(box) == 4 and all(isinstance(edge, int) for edge in box)
    if not fits or not (0 <= box[0] < box[2] <= h and 0 <= box[1] < box[3] <= w):
        raise _checks.argument_error(
            function, f"`highlight` must list boxes (row0, col0, row1, col1) inside the {h}×{w} matrix",
            f"Use for example highlight=[(0, 0, {min(2, h)}, {min(2, w)})]", box=box,
        )  # fmt: skip
    return box


def _names(function, name, values, count, what):
    values = list(values)
    if len(values) != count:
        raise _checks.argument_error(
            function, f"`{name}` must hold one text per {what}", f"Give {count}", **{f"len({name})": len(values)}
        )
    return values


def _labels(function, true, predicted, classes):
    """Return both as int arrays (n,), or raise."""
    checked = []
    for name, values in (("true", true), ("predicted", predicted)):
        values = np.asarray(values)
        if values.ndim == 2 and values.dtype.kind in "buif":
            fix = f"{name}.ravel()" if values.shape[1] == 1 else f"{name}.argmax(axis=1)"
            raise _checks.argument_error(
                function, f"`{name}` must be class numbers (n,)", f"Use {fix}", **{f"{name}.shape": values.shape}
            )
        values = _array(function, name, values, "(n,)")
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


def _line(ax, x, y, number, label):
    """Draw curve `number`: its own colour, dash and marker."""
    return ax.plot(
        x, y, label=label, color=(COLOURS[0], COLOURS[1], *COLOURS[3:6])[number % 5],
        linestyle=DASHES[number % len(DASHES)], marker=MARKERS[number % len(MARKERS)], markersize=5,
    )[0]  # fmt: skip


def _pair(true, predicted):
    return f"{true} → {predicted}" if len(true) + len(predicted) <= 16 else f"{true} →\n{predicted}"


def _text(value):
    """Write a number as short as it can be read: whole numbers whole, others to two figures."""
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.2g}"


def _count(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"
