"""Pictures of a classifier's answers."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap, to_rgb

from course_cnn import _checks
from course_cnn.plots._common import (
    COLOURS,
    MARKERS,
    as_array,
    check_texts,
    class_labels,
    counted,
    draw_cells,
    draw_frame,
    image_list,
    one_axes,
    write_numbers,
)
from course_cnn.plots.images import plot_images


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
    true, predicted = class_labels(function, true, predicted, k)
    counts = confusion_matrix(true, predicted, labels=range(k))
    mistakes = np.ma.masked_array(counts, mask=np.eye(k, dtype=bool))
    ax = one_axes(function, ax, (max(4, 0.55 * k + 1.8), max(3.4, 0.5 * k + 1.8)))
    cmap = plt.get_cmap("viridis").with_extremes(bad="white")
    picture = ax.imshow(mistakes, cmap=cmap, vmin=0, vmax=max(1, mistakes.filled(0).max()))
    draw_cells(ax, k, k)
    write_numbers(ax, picture, mistakes)
    for i in range(k):
        draw_frame(ax, i, i, i + 1, i + 1, colour="black", width=1.5)
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
    images = image_list(function, images)
    class_names = list(class_names)
    true, predicted = class_labels(function, true, predicted, len(class_names))
    most = _checks.integer(function, "most", most, minimum=1)
    lengths = {"images": len(images), "true": len(true)}
    if confidence is not None:
        confidence = as_array(function, "confidence", confidence, "(n,)")
        lengths["confidence"] = len(confidence)
    if len(set(lengths.values())) > 1:
        raise _checks.argument_error(
            function, "there must be one label and one confidence per image",
            f"Cut them all to the first {min(lengths.values())}", **lengths,
        )  # fmt: skip
    wrong = np.flatnonzero(true != predicted)
    total = len(wrong)
    if not total:
        ax = one_axes(function, None, (4, 2))
        ax.set_axis_off()
        ax.set_title(f"no mistakes among {counted(len(true), 'image')}" if title is None else title)
        return np.array([ax])
    if confidence is not None:
        wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    wrong = wrong[:most]
    if title is None:
        order = ", the surest first" if confidence is not None else ""
        title = f"{counted(total, 'mistake')} among {counted(len(true), 'image')}"
        title += f", here {len(wrong)}{order}" if len(wrong) < total else order
    titles = [
        _pair(class_names[true[i]], class_names[predicted[i]])
        + ("" if confidence is None else f"\n{confidence[i]:.2f}")
        for i in wrong
    ]
    shown = [images[i] for i in wrong]
    return plot_images(shown, titles=titles, columns=columns, vmin=vmin, vmax=vmax, title=title)


def _pair(true, predicted):
    return f"{true} → {predicted}" if len(true) + len(predicted) <= 16 else f"{true} →\n{predicted}"


def plot_decision_regions(
    predict, x, y, *, class_names=None, ax=None, title=None, xlabel="$x_1$", ylabel="$x_2$", steps=200, margin=0.1
):
    """Draw points of the plane, and behind them which class a classifier gives to every place of it.

    Points in the region of another class have a black rim. Classes differ by colour and marker; from seven classes on,
    their names are written into the regions, those wide enough, and there is no legend.

    Args:
        predict: callable, takes a float array (m, 2) and returns one integer class per row, (m,).
        x: array (n, 2), the points.
        y: int array (n,), their classes; any integers, such as 0, 1, 2 or -1, +1.
        class_names: sequence of str, the name of class 0, 1, …, or one per class that occurs, in ascending order; None
            for the numbers.
        ax: Axes to draw on; None for a new figure.
        title: str; None for how many points lie in the region of their class.
        xlabel, ylabel: str, what the two numbers are.
        steps: int >= 2, places along each side at which the classifier is asked.
        margin: float >= 0, room around the points, as a share of their extent.

    Returns:
        Axes.

    Raises:
        ValueError: the arrays do not fit each other, or `predict` returns something else than one class per row.

    Example:
        >>> ax = plot_decision_regions(lambda x: (x[:, 0] > 0).astype(int), [[-1, 0], [1, 1], [2, 0]], [0, 1, 0])
        >>> ax.get_title()
        '2 of 3 points lie in the region of their class'
    """
    from scipy.ndimage import distance_transform_edt  # here, as few pictures need it

    function = "plot_decision_regions"
    x = as_array(function, "x", x, "(n, 2)").astype(float)
    y = as_array(function, "y", y, "(n,)")
    if x.shape[1] != 2 or len(x) != len(y) or y.dtype.kind not in "iu":
        raise _checks.argument_error(
            function, "`x` must hold points (n, 2), and `y` one integer class per point",
            "Give two columns, x[:, :2], and y.astype(int)",
            **{"x.shape": x.shape, "y.shape": y.shape, "y.dtype": y.dtype.name},
        )  # fmt: skip
    steps = _checks.integer(function, "steps", steps, minimum=2)
    low, high = x.min(axis=0), x.max(axis=0)
    room = margin * np.where(high > low, high - low, 1)
    across, up = (np.linspace(*ends, steps) for ends in zip(low - room, high + room, strict=True))
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    answers = _classes(function, predict, grid.reshape(-1, 2)).reshape(steps, steps)
    predicted = _classes(function, predict, x)
    classes = np.unique(np.concatenate([answers.ravel(), predicted, y]))
    names = _class_names(function, classes, class_names)

    ax = one_axes(function, ax, (6, 4.4))
    paints = [_PAINTS[number % len(_PAINTS)] for number in range(len(classes))]
    pale = ListedColormap([0.72 + 0.28 * np.array(to_rgb(paint)) for paint in paints])
    places, size = np.searchsorted(classes, answers), 28 if len(x) <= 300 else 14
    ax.pcolormesh(across, up, places, cmap=pale, vmin=-0.5, vmax=len(classes) - 0.5, shading="nearest", rasterized=True)
    for number, (value, name) in enumerate(zip(classes, names, strict=True)):
        region = places == number
        if region.any() and not region.all():
            ax.contour(across, up, region, levels=[0.5], colors="0.35", linewidths=0.8)
        where = y == value
        ax.scatter(
            *x[where].T, color=paints[number], marker=MARKERS[number % len(MARKERS)], s=size, label=str(name), zorder=3,
            edgecolor=np.where(predicted[where] == value, "white", "black"),
            linewidth=np.where(predicted[where] == value, 0.5, 1.3),
        )  # fmt: skip
        if len(classes) > 6 and region.any():  # the name goes where the region is widest
            depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
            i, j = np.unravel_index(depth.argmax(), depth.shape)
            ax.text(
                across[j], up[i], str(name), ha="center", va="center", fontsize="large", fontweight="bold", zorder=4,
                bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5},
                visible=bool(depth.max() > 0.02 * steps),  # a sliver has no room for it
            )  # fmt: skip
    if len(classes) <= 6:
        if (predicted != y).any():
            ax.scatter(
                [], [], color="white", edgecolor="black", linewidth=1.3, s=28, label="black rim: taken\nfor another"
            )
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    right = int((predicted == y).sum())
    ax.set_title(f"{right} of {len(y)} points lie in the region of their class" if title is None else title)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=across[[0, -1]], ylim=up[[0, -1]])
    return ax


_PAINTS = [COLOURS[number] for number in (0, 1, 3, 4, 5, 8, 7, 2, 6, 9)]  # neighbours differ most


def _classes(function, predict, x):
    """Ask `predict` and return its classes, int (m,), or raise."""
    answer = np.asarray(predict(x))
    whole = answer.dtype.kind in "iub" or (answer.dtype.kind == "f" and bool((answer == np.round(answer)).all()))
    if answer.shape != (len(x),) or not whole:
        remedy = "Use for example lambda x: scores(x).argmax(axis=1)"
        if answer.shape == (len(x),) or answer.shape == (len(x), 1):
            remedy = "Use for example lambda x: (score(x).ravel() > 0).astype(int)"
        raise _checks.argument_error(
            function, f"`predict` must return one class number per point, ({len(x)},)", remedy,
            shape=answer.shape, dtype=answer.dtype.name,
        )  # fmt: skip
    return answer.astype(int)


def _class_names(function, classes, class_names):
    """Return one name per class: those given for 0, 1, …, or one for each of `classes`."""
    if class_names is None:
        return classes
    class_names = list(class_names)
    if classes[0] >= 0 and classes[-1] < len(class_names):
        return [class_names[number] for number in classes]
    return check_texts(function, "class_names", class_names, len(classes), "class")
