"""Pictures of the inside of a network: weights as images, activations layer by layer, a computational graph."""

import math

import numpy as np

from course_cnn import _checks
from course_cnn.plots._common import (
    COLOURS,
    DASHES,
    as_array,
    axes_grid,
    counted,
    largest,
    one_axes,
    short,
    value_range,
)


def plot_weights(weights, *, image_shape=None, titles=None, columns=5, axes=None, title=None):
    """Draw the weights of every unit of a dense layer as an image: the pixels that speak for it and against it.

    White is zero, red speaks for the unit and blue against it, all on one scale. Three channels are drawn as colours,
    in which mid-grey is zero.

    Args:
        weights: array (d, units), one column per unit, as in the kernel of a Keras `Dense` layer or a linear
            classifier, or (d,) for one unit; or already images, (units, h, w) or (units, h, w, channels), with 1 or 3
            channels.
        image_shape: (h, w) or (h, w, channels) with h * w * channels = d; None where `weights` are images already.
        titles: sequence of str, one per unit, such as the class names.
        columns: int >= 1, images in a row.
        axes: array of at least as many Axes as there are units; None for a new figure.
        title: str; None for how many there are and the value of the deepest red.

    Returns:
        array of Axes, one per unit.

    Raises:
        ValueError: `weights` has other axes, or d does not fit `image_shape`.

    Example:
        >>> axes = plot_weights(np.ones((64, 10)), image_shape=(8, 8))
        >>> axes[0].figure.get_suptitle()
        'weights of 10 units as 8×8 images: white is zero, deepest red 1'
    """
    function = "plot_weights"
    images = _weight_images(function, weights, image_shape)
    units, h, w = images.shape[:3]
    limit = largest(images)
    colours = images.ndim == 4
    if title is None:
        zero = f"mid-grey is zero, white is {short(limit)}" if colours else f"white is zero, deepest red {short(limit)}"
        title = f"weights of {counted(units, 'unit')} as {h}×{w} images: {zero}"
    axes = axes_grid(function, units, columns, axes, titles=titles, title=title)
    for ax, image in zip(axes, images, strict=True):
        ax.imshow(0.5 + image / (2 * limit) if colours else image, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
    return axes


def plot_distributions(
    activations, *, kind="ridges", saturated=None, x_range=None, ax=None, xlabel="activation", title=None
):
    """Draw how the values in each layer are distributed, the first layer on top or at the left, on one shared scale.

    Args:
        activations: dict from name to array of any shape, in the order of the layers; or a list of arrays, then named
            "layer 1", "layer 2", and so on.
        kind: "ridges" for one histogram per layer, each scaled to its own height; "bands" for median, middle half and
            middle 90 % over the layers, which suits many of them.
        saturated: (low, high); the share of values <= low or >= high is written too, (-0.99, 0.99) for tanh.
        x_range: (low, high), the values shown; None for all but the outermost thousandth of all layers together.
        ax: Axes to draw on; None for a new figure.
        xlabel: str, what the values are.
        title: str; None for the spread (standard deviation) in the first and in the last layer.

    Returns:
        Axes. Beside each layer stands its standard deviation and, where there are any, the share of exact zeros, of
        saturated values and of values that are not finite. Exact zeros are left out of the ridges, which they would
        flatten.

    Raises:
        ValueError: nothing to draw, something that is not numbers, or an argument out of its range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> ax = plot_distributions({"first": rng.normal(size=1000), "second": np.zeros(10)})
        >>> [text.get_text() for text in ax.texts]
        ['std 0.98', 'std 0, zero 100 %']
    """
    function = "plot_distributions"
    _checks.choice(function, "kind", kind, ("ridges", "bands"))
    if not isinstance(activations, dict):
        activations = {f"layer {number}": values for number, values in enumerate(activations, start=1)}
    if not activations:
        raise _checks.argument_error(
            function, "`activations` must hold at least one array", 'Use {"layer 1": array}', activations=activations
        )
    layers = [as_array(function, f"activations[{key!r}]", np.ravel(a), "(n,)") for key, a in activations.items()]
    finite = [values[np.isfinite(values)].astype(float) for values in layers]
    notes = [_shares(values, saturated and value_range(function, "saturated", saturated)) for values in layers]
    if x_range is None:
        everything = np.concatenate([*finite, [0.0]])
        low, high = np.quantile(everything, [0.001, 0.999])
        margin = 0.05 * (high - low) or 1.0
        x_range = low - margin, high + margin
    low, high = value_range(function, "x_range", x_range)
    if title is None:
        first, last = (short(values.std()) if len(values) else "?" for values in (finite[0], finite[-1]))
        top, *_, bottom = [*activations, ""] if len(layers) == 1 else activations
        title = f'spread (std) {first} in "{top}"' + (f', {last} in "{bottom}"' if bottom else "")

    count = len(layers)
    if kind == "ridges":
        ax = one_axes(function, ax, (7, min(9, 0.55 * count + 1.4)))
        _ridges(ax, finite, low, high)
        ax.set(xlim=(low, high), ylim=(count - 0.7, -1.05), xlabel=xlabel)
        ax.set_yticks(range(count), list(activations))
        for row, note in enumerate(notes):
            ax.text(1.01, row, note, transform=ax.get_yaxis_transform(), va="center", fontsize="small")
    else:
        ax = one_axes(function, ax, (min(11, 2.2 + (0.9 if count <= 8 else 0.5) * count), 4))
        _quantile_bands(ax, finite)
        ax.set(ylim=(low, high), xlim=(-0.5, count - 0.5), ylabel=xlabel)
        many = count > 6
        ax.set_xticks(range(count), list(activations), rotation=40 if many else 0, ha="right" if many else "center")
        notes = [note if count > 10 else note.replace(", ", "\n") for note in notes]
        for column, note in enumerate(notes):
            ax.text(
                column, 1.01, note, transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize="x-small",
                rotation=90 if count > 10 else 0,
            )  # fmt: skip
        above = 6 * max(map(len, notes)) if count > 10 else 12 + 10 * max(note.count("\n") for note in notes)
        ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    ax.set_title(title, fontsize="medium", pad=6 if kind == "ridges" else 6 + above)
    return ax


def plot_graph(value, *, ax=None, title=None):
    """Draw the computational graph that made a `scratch.Value`, with its numbers and, after `backward`, its gradients.

    Args:
        value: `scratch.Value`, the end of the graph, such as the loss.
        ax: Axes to draw on; None for a new figure.
        title: str.

    Returns:
        Axes.

    Raises:
        ValueError: `value` is no `scratch.Value`.

    Example:
        >>> from course_cnn import scratch
        >>> loss = (scratch.Value(2.0) * 3 - 5) ** 2
        >>> loss.backward()
        >>> plot_graph(loss, title="orange: gradients").get_title()
        'orange: gradients'
    """
    if not hasattr(value, "draw"):
        raise _checks.argument_error(
            "plot_graph", "`value` must be a scratch.Value, the end of a graph", "Wrap the numbers it starts from: "
            "scratch.Value(3.0)", **{"type(value)": type(value).__name__},
        )  # fmt: skip
    return value.draw(ax=ax, title=title)


def _weight_images(function, weights, image_shape):
    """Return the weights as (units, h, w), or as (units, h, w, 3) for colours."""
    weights = np.asarray(weights)
    if weights.ndim == 1 and image_shape is not None:
        weights = weights[:, None]
    if weights.ndim != 2 and image_shape is None:
        images = as_array(
            function, "weights", weights, "(units, h, w, channels)" if weights.ndim > 3 else "(units, h, w)"
        )
    else:
        weights = as_array(function, "weights", weights, "(d, units)")
        d = len(weights)
        side = math.isqrt(d)
        guess = (side, side) if side * side == d else (1, d)
        shape = tuple(np.ravel(guess if image_shape is None else image_shape).tolist())
        if image_shape is None or len(shape) not in (2, 3) or math.prod(shape) != d:
            turned = image_shape is not None and len(shape) in (2, 3) and math.prod(shape) == weights.shape[1]
            raise _checks.argument_error(
                function, f"`image_shape` must be (h, w) or (h, w, channels), {d} numbers in all as there are rows",
                "Pass weights.T" if turned else f"Use for example image_shape={guess}",
                **{"image_shape": image_shape, "weights.shape": weights.shape},
            )  # fmt: skip
        images = weights.T.reshape(-1, *shape)
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        raise _checks.argument_error(
            function, "weight images must have 1 or 3 channels, last",
            "Draw one channel, for example weights.T.reshape(units, h, w, channels)[..., 0]", channels=images.shape[3],
        )  # fmt: skip
    return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images


def _shares(values, saturated):
    """Write the spread of some values and the share of those that are zero, saturated or not finite."""
    finite = values[np.isfinite(values)].astype(float)
    note = [f"std {short(finite.std())}"] if len(finite) else []
    shares = {"zero": values == 0, "not finite": ~np.isfinite(values)}
    if saturated is not None:
        shares["saturated"] = (values <= saturated[0]) | (values >= saturated[1])
    note += [
        f"{what} {100 * where.mean():.0f} %" for what, where in shares.items() if where.any() or what == "saturated"
    ]
    return ", ".join(note)


def _ridges(ax, layers, low, high):
    edges = np.linspace(low, high, 81)
    for row, values in enumerate(layers):
        heights = np.histogram(values[values != 0], edges)[0]
        heights = 0.9 * heights / max(1, heights.max())
        ax.stairs(row - heights, edges, baseline=row, fill=True, color=COLOURS[4], zorder=row + 1)
        ax.stairs(row - heights, edges, baseline=None, color=COLOURS[0], linewidth=1, zorder=row + 1)
        ax.axhline(row, color="0.6", linewidth=0.6, zorder=0)
    ax.axvline(0, color="0.4", linewidth=0.8, linestyle=":", zorder=0)


def _quantile_bands(ax, layers):
    quantiles = np.array([np.quantile(v, [0.05, 0.25, 0.5, 0.75, 0.95]) if len(v) else [np.nan] * 5 for v in layers]).T
    places = np.arange(len(layers))
    ax.fill_between(places, quantiles[0], quantiles[4], color=COLOURS[7], linewidth=0, label="middle 90 %", step=None)
    ax.fill_between(places, quantiles[1], quantiles[3], color=COLOURS[4], linewidth=0, label="middle half")
    ax.plot(places, quantiles[2], "o" + DASHES[0], color=COLOURS[0], label="median")
    ax.axhline(0, color="0.4", linewidth=0.8, linestyle=":")
