"""Pictures of training: curves over epochs, bands over seeds."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from course_cnn import _checks
from course_cnn.plots._common import (
    COLOURS,
    as_array,
    axes_grid,
    check_texts,
    counted,
    draw_line,
    one_axes,
    short,
    value_range,
)


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
    curves = {key: as_array(function, key, history[key], "(epochs,)") for key in known if history.get(key) is not None}
    epochs = len(curves["loss"])
    lengths = {key: len(values) for key, values in curves.items()}
    if set(lengths.values()) != {epochs}:
        raise _checks.argument_error(
            function, "all lists of `record` must have one number per epoch",
            f"Cut or fill them to {epochs} numbers", **lengths,
        )  # fmt: skip
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")[1]
    axes = axes_grid(function, 2, 2, axes, title=title)
    for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
        draw_line(ax, range(1, epochs + 1), curves[key], 0, "training")
        if f"val_{key}" in curves:
            draw_line(ax, range(1, epochs + 1), curves[f"val_{key}"], 1, "validation")
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
    x = as_array(function, "x", x, "(points,)")
    if not isinstance(curves, dict) or not curves:
        raise _checks.argument_error(
            function, "`curves` must be a dict from label to array (seeds, points)", 'Use {"my curve": array}',
            **{"type(curves)": type(curves).__name__},
        )  # fmt: skip
    names = check_texts(function, "labels", list(curves) if labels is None else labels, len(curves), "curve")
    arrays = [as_array(function, f"curves[{key!r}]", values, "(seeds, points)") for key, values in curves.items()]
    for name, values in zip(names, arrays, strict=True):
        if values.shape[1] != len(x):
            raise _checks.argument_error(
                function, f"curve {name!r} has {values.shape[1]} points but `x` has {len(x)}",
                "Give curves as (seeds, points), one column per number of x", shape=values.shape,
            )  # fmt: skip
    ax = one_axes(function, ax, (6, 3.8))
    for number, (name, values) in enumerate(zip(names, arrays, strict=True)):
        line = draw_line(ax, x, values.mean(axis=0), number, name)
        ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.2, linewidth=0)
    seeds = sorted({len(values) for values in arrays})
    count = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else counted(seeds[0], "seed")
    meaning = f"mean of {count}, band: lowest to highest" if seeds[-1] > 1 else "one seed: no band"
    ax.legend(title=meaning, fontsize="small", title_fontsize="small")
    ends = [values[:, -1].mean() for values in arrays]
    best = int(np.argmax(ends))
    ax.set_title(f'"{names[best]}" ends highest on average ({ends[best]:.2f})' if title is None else title)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def plot_loss_surface(
    f, *, x_range, y_range, paths=None, minimum=None, log=False, steps=150, ax=None, title=None, xlabel="$x$",
    ylabel="$y$", label="loss",
):  # fmt: skip
    """Draw a function of two numbers as a map with contour lines, and on it the paths that optimisers took.

    Args:
        f: callable, takes two float arrays of the same shape and returns the loss at each place, of that shape.
        x_range, y_range: (low, high), the part to draw.
        paths: dict from name to array (steps, 2), the places visited, start first. A ring marks the start and a large
            marker the end; a path that leaves the picture, or that grows beyond all numbers, says so in the legend.
        minimum: (x, y), marked with a star.
        log: bool, draw the levels in equal ratios; for valleys much deeper than their surroundings. f must be >= 0.
        steps: int >= 2, places along each side at which f is computed.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the path that ends lowest, or without paths for the lowest place drawn.
        xlabel, ylabel: str, what the two numbers are. label: str, what f is.

    Returns:
        Axes. The legend stands below the picture.

    Raises:
        ValueError: f does not take arrays, a range or a path has the wrong shape, or log=True for negative values.

    Example:
        >>> path = [[2, 1], [1, 0.5], [0.5, 0.1]]
        >>> ax = plot_loss_surface(lambda x, y: x**2 + y**2, x_range=(-3, 3), y_range=(-2, 2), paths={"SGD": path})
        >>> ax.get_title()
        '"SGD" ends lowest (loss 0.26)'
    """
    function = "plot_loss_surface"
    (left, right), (bottom, top) = value_range(function, "x_range", x_range), value_range(function, "y_range", y_range)
    steps = _checks.integer(function, "steps", steps, minimum=2)
    paths = {} if paths is None else paths
    if not isinstance(paths, dict):
        raise _checks.argument_error(
            function, "`paths` must be a dict from name to array (steps, 2)", 'Use {"SGD": array}',
            **{"type(paths)": type(paths).__name__},
        )  # fmt: skip
    tracks = {name: as_array(function, f"paths[{name!r}]", path, "(steps, 2)") for name, path in paths.items()}
    for name, track in tracks.items():
        if track.shape[1] != 2:
            raise _checks.argument_error(
                function, f"path {name!r} must have two columns, x and y", "Give one row per step", shape=track.shape
            )
    x, y = np.meshgrid(np.linspace(left, right, steps), np.linspace(bottom, top, steps))
    z = np.asarray(f(x, y))
    if z.shape != x.shape or z.dtype.kind not in "iuf":
        raise _checks.argument_error(
            function, "`f` must return one number for each place of the arrays it is given", "Use np.vectorize(f)",
            **{"shape given": x.shape, "shape returned": z.shape},
        )  # fmt: skip
    levels, norm = _levels(function, z, log)

    ax = one_axes(function, ax, (6, 5))
    shades = ListedColormap(0.45 + 0.55 * plt.get_cmap("viridis")(np.linspace(0, 1, 256))[:, :3])
    picture = ax.contourf(x, y, np.clip(z, levels[0], levels[-1]), levels=levels, cmap=shades, norm=norm)
    ax.contour(x, y, z, levels=levels, colors="0.45", linewidths=0.5)
    ax.figure.colorbar(picture, ax=ax, label=label, format=FuncFormatter(lambda value, _: short(value)))
    ends = {name: _draw_path(ax, number, name, track, f, (left, right, bottom, top))
            for number, (name, track) in enumerate(tracks.items())}  # fmt: skip
    handles = list(ax.get_legend_handles_labels()[0])
    if tracks:
        handles.append(
            Line2D([], [], color="black", marker="o", fillstyle="none", markersize=9, linestyle="", label="start")
        )
    if minimum is not None:
        place = np.ravel(as_array(function, "minimum", minimum, "(2,)"))
        handles += ax.plot(*place[:2, None], "*", color="white", markeredgecolor="black", markersize=15, linestyle="",
                           label="minimum", zorder=6)  # fmt: skip
    if handles:
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False, fontsize="small"
        )
    if title is None and np.isfinite(list(ends.values())).any():
        best = min(ends, key=ends.get)
        title = f'"{best}" ends lowest ({label} {short(ends[best])})'
    elif title is None:
        i, j = np.unravel_index(z.argmin(), z.shape)
        title = f"lowest {label} drawn {short(z[i, j])}, at ({short(x[i, j])}, {short(y[i, j])})"
    ax.set_title(title)
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel=xlabel, ylabel=ylabel)
    return ax


def _draw_path(ax, number, name, track, f, window):
    """Draw the path of one optimiser, and return the loss where it ends, or infinity outside the picture."""
    left, right, bottom, top = window
    width, height = right - left, top - bottom
    known = track[np.isfinite(track).all(axis=1)]
    inside = len(known) and left <= track[-1, 0] <= right and bottom <= track[-1, 1] <= top
    note = "" if inside else " (leaves the picture)"
    near = np.clip(known, (left - 9 * width, bottom - 9 * height), (right + 9 * width, top + 9 * height))
    line = draw_line(ax, *near.T, number, f"{name}{note}", linewidth=1.8)
    ax.plot(*near[:1].T, "o", color="black", markersize=10, fillstyle="none", label="_start", zorder=4)
    if not inside:
        return np.inf
    ax.plot(*near[-1:].T, line.get_marker(), color=line.get_color(), markersize=10, markeredgecolor="black",
            label="_end", zorder=5)  # fmt: skip
    return float(f(*track[-1].astype(float)[:, None])[0])


def plot_learning_rates(search, *, ax=None, title=None):
    """Draw a learning-rate search: the loss against the learning rate, measured and smoothed, with the suggestion.

    Args:
        search: what `training.find_learning_rate` returns: `learning_rates`, `losses` and `smoothed`, arrays (steps,),
            and `suggestion`, a number.
        ax: Axes to draw on; None for a new figure.
        title: str; None for the suggestion.

    Returns:
        Axes. The rates are on a logarithmic axis; losses far above the first one are cut off.

    Raises:
        ValueError: a field is missing, or the arrays differ in length.

    Example:
        >>> from types import SimpleNamespace
        >>> search = SimpleNamespace(learning_rates=[1e-3, 1e-2, 0.1], losses=[2.3, 1, 4], smoothed=[2.3, 1.2, 3],
        ...                          suggestion=5e-3)
        >>> plot_learning_rates(search).get_title()
        'suggested learning rate 0.005'
    """
    function = "plot_learning_rates"
    names = ("learning_rates", "losses", "smoothed")
    missing = [name for name in (*names, "suggestion") if not hasattr(search, name)]
    if missing:
        raise _checks.argument_error(
            function, f"`search` must have {', '.join(names)} and suggestion; it lacks {', '.join(missing)}",
            "Pass what training.find_learning_rate returns", **{"type(search)": type(search).__name__},
        )  # fmt: skip
    rates, losses, smoothed = (as_array(function, name, getattr(search, name), "(steps,)") for name in names)
    if not len(rates) == len(losses) == len(smoothed):
        raise _checks.argument_error(
            function, "learning_rates, losses and smoothed must have the same length",
            f"Cut them all to {min(map(len, (rates, losses, smoothed)))}",
            **{f"len({name})": len(getattr(search, name)) for name in names},
        )  # fmt: skip
    known = smoothed[np.isfinite(smoothed)]
    if not len(known):
        raise _checks.argument_error(
            function, "no loss of the search is a finite number", "Search again from a lower rate, such as low=1e-8",
            **{"first loss": float(losses[0])},
        )  # fmt: skip
    ax = one_axes(function, ax, (6, 3.6))
    ax.plot(rates, losses, color=COLOURS[2], linewidth=1, label="measured, batch by batch")
    ax.plot(rates, smoothed, color=COLOURS[0], linewidth=2, label="smoothed")
    if search.suggestion is not None:
        rate = float(search.suggestion)
        ax.axvline(rate, color=COLOURS[5], linestyle="--", label=f"suggestion {rate:.2g}")
    low, high = losses[np.isfinite(losses)].min(), max(known[0], np.median(known))
    ax.set(
        xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.15 * (high - low), high + 0.6 * (high - low))
    )
    ax.legend(fontsize="small", loc="best")
    if title is None:
        title = (
            f"suggested learning rate {rate:.2g}" if search.suggestion is not None else "no suggestion: no rate helps"
        )
    ax.set_title(title)
    return ax


def plot_schedule(schedules, *, ax=None, title=None, xlabel="step", ylabel="learning rate", log=False):
    """Draw learning rates over the course of training, one line per schedule.

    Args:
        schedules: dict from name to array (steps,), the learning rate at step 0, 1, ….
        ax: Axes to draw on; None for a new figure.
        title: str; None for where each one ends.
        xlabel, ylabel: str, with units.
        log: bool, draw the rates on a logarithmic axis.

    Returns:
        Axes.

    Raises:
        ValueError: no schedule, or one that is not a row of numbers.

    Example:
        >>> plot_schedule({"constant": [0.1, 0.1, 0.1], "halved": [0.1, 0.05, 0.025]}).get_title()
        'from 0.1 to: constant 0.1, halved 0.025'
    """
    function = "plot_schedule"
    if not isinstance(schedules, dict) or not schedules:
        raise _checks.argument_error(
            function, "`schedules` must be a dict from name to array (steps,)", 'Use {"constant": np.full(100, 0.1)}',
            **{"type(schedules)": type(schedules).__name__},
        )  # fmt: skip
    curves = {name: as_array(function, f"schedules[{name!r}]", rates, "(steps,)") for name, rates in schedules.items()}
    ax = one_axes(function, ax, (6, 3.6))
    for number, (name, rates) in enumerate(curves.items()):
        draw_line(ax, np.arange(len(rates)), rates, number, name)
    if title is None:
        starts = {short(rates[0]) for rates in curves.values()}
        ends = ", ".join(f"{name} {short(rates[-1])}" for name, rates in curves.items())
        title = f"from {starts.pop()} to: {ends}" if len(starts) == 1 else f"ends at: {ends}"
    ax.set_title(title, fontsize="medium")
    ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    ax.legend(fontsize="small")
    return ax


def _levels(function, z, log):
    """Return the levels of the contours and how colours follow them."""
    finite = z[np.isfinite(z)]
    if not len(finite):
        raise _checks.argument_error(
            function,
            "`f` must be finite somewhere in the picture",
            "Choose another x_range and y_range",
            lowest=z.min(),
        )
    low, high = float(finite.min()), float(finite.max())
    if not log:
        high = high if high > low else low + 1
        low = 0.0 if 0 < low < high / 1000 else low  # the grid just misses a minimum of 0
        return np.linspace(low, high, 16), None
    if low < 0 or high <= 0:
        raise _checks.argument_error(
            function, "`f` must be >= 0 and not 0 everywhere to be drawn with log=True",
            "Use log=False, or subtract the lowest value", lowest=low,
        )  # fmt: skip
    low = max(float(finite[finite > 0].min()), 1e-6 * high)
    return np.geomspace(low, high if high > low else 10 * low, 16), LogNorm()
