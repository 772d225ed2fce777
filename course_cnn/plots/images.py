"""Pictures of images, matrices, kernels and feature maps."""

import numpy as np

from course_cnn import _checks
from course_cnn.plots._common import (
    COLOURS,
    DASHES,
    as_array,
    as_matrix,
    axes_grid,
    cells_figsize,
    draw_cells,
    draw_frame,
    draw_image,
    image_list,
    largest,
    one_axes,
    short,
    write_numbers,
)


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
    images = image_list(function, images)
    low = min(image.min() for image in images) if vmin is None else vmin
    high = max(image.max() for image in images) if vmax is None else vmax
    _check_range(function, images, low, high)
    axes = axes_grid(function, len(images), columns, axes, titles=titles, title=title)
    for ax, image in zip(axes, images, strict=True):
        draw_image(ax, image, low, high)
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
    matrix = as_matrix(function, "matrix", matrix)
    h, w = matrix.shape
    boxes = [_box(function, box, h, w) for box in ([] if highlight is None else highlight)]
    if vmin is None and vmax is None and cmap == "RdBu_r":
        vmax = largest(matrix)
        vmin = -vmax
    ax = one_axes(function, ax, cells_figsize(h, w))
    picture = ax.imshow(matrix, cmap=cmap, vmin=vmin, vmax=vmax)
    draw_cells(ax, h, w)
    if numbers:
        write_numbers(ax, picture, matrix)
    for number, (row0, col0, row1, col1) in enumerate(boxes):
        draw_frame(ax, row0, col0, row1, col1, colour=COLOURS[(1, 0, 5, 4)[number % 4]], dash=DASHES[number % 4])
    ax.set_title(f"{h}×{w} matrix, values {short(matrix.min())} to {short(matrix.max())}" if title is None else title)
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
    kernel = as_matrix("plot_kernel", "kernel", kernel)
    limit = largest(kernel)
    if title is None:
        h, w = kernel.shape
        title = f"{h}×{w} kernel, sum {short(kernel.sum())}, deepest red {short(limit)}"
    ax = one_axes("plot_kernel", ax, (3.7, 3.2))
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
    kernels = as_array(function, "kernels", kernels, "(kh, kw, c_in, c_out)")
    kh, kw, c_in, c_out = kernels.shape
    if channel is not None and _checks.integer(function, "channel", channel, minimum=0) >= c_in:
        raise _checks.argument_error(
            function, f"`channel` must be below the {c_in} input channels", f"Use channel={c_in - 1}", channel=channel
        )
    rgb = channel is None and c_in == 3
    filters = kernels if rgb else kernels.mean(axis=2) if channel is None else kernels[:, :, channel]
    limit = largest(filters)
    if title is None:
        what = "" if rgb or c_in == 1 else ", mean over channels" if channel is None else f", channel {channel}"
        zero = "mid-grey is zero" if rgb else f"white is zero, deepest red {short(limit)}"
        title = f"{c_out} filters {kh}×{kw}{what}, {zero}"
    axes = axes_grid(function, c_out, columns, axes, titles=titles, title=title)
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
    maps = as_array(function, "maps", maps, "(h, w, c)")
    h, w, c = maps.shape
    if maps.min() < 0:
        limits = {"cmap": "RdBu_r", "vmin": -largest(maps), "vmax": largest(maps)}
    else:
        limits = {"cmap": "viridis", "vmin": 0, "vmax": largest(maps)}
    axes = axes_grid(
        function, c, columns, axes, titles=titles, title=title or f"{c} map{'s' * (c > 1)} of {h}×{w} on one scale"
    )
    for number, ax in enumerate(axes):
        picture = ax.imshow(maps[:, :, number], **limits)
        ax.set(xticks=[], yticks=[])
    axes[0].figure.colorbar(picture, ax=list(axes), label="value")
    return axes


def _check_range(function, images, low, high):
    """Raise where images of 0 to 255 would all be drawn white."""
    highest = max(image.max() for image in images)
    whole = all(image.dtype.kind in "ui" for image in images)
    if highest > (high if whole else low + 10 * (high - low)):
        raise _checks.argument_error(
            function, f"values reach {short(highest)} but `vmax` draws {short(high)} white",
            f"Use vmax={255 if high < highest <= 255 else None}, or divide the images", vmin=low, vmax=high,
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
