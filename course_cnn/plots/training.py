"""Pictures of training: curves over epochs, bands over seeds."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from course_cnn import _checks
from course_cnn.plots._common import as_array, axes_grid, check_texts, counted, draw_line, one_axes


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
