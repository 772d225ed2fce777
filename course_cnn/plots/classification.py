"""Pictures of a classifier's answers."""

import matplotlib.pyplot as plt
import numpy as np

from course_cnn import _checks
from course_cnn.plots._common import (
    as_array,
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
