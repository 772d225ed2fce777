"""Plots: the data they show, their limits and their words, not their pixels."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn import boxes
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from scipy.signal import correlate2d
from sklearn.metrics import confusion_matrix

from course_cnn import plots, shapes

RNG = np.random.default_rng(0)
X = np.arange(36).reshape(6, 6) % 10
HISTORY = {
    "loss": [1.2, 0.7, 0.4],
    "accuracy": [0.5, 0.7, 0.9],
    "val_loss": [1.1, 0.8, 0.9],
    "val_accuracy": [0.6, 0.7, 0.8],
}


def words(ax):
    return [text.get_text() for text in ax.texts if text.get_visible()]


def hatched(ax):
    """Area of the hatched rectangles, in cells."""
    return sum(p.get_width() * p.get_height() for p in ax.patches if p.get_hatch())


# --- images -----------------------------------------------------------------------------------------------------------


def test_images_share_black_and_white():
    images = RNG.random((3, 8, 9))
    axes = plots.plot_images(images, titles=["a", "b", "c"], columns=2, title="three")
    assert [ax.get_title() for ax in axes] == ["a", "b", "c"]
    assert axes[0].figure.get_suptitle() == "three"
    assert len(axes[0].figure.axes) == 3  # the empty place of the 2 by 2 grid is gone
    for ax, image in zip(axes, images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert ax.images[0].get_clim() == (0, 1)
        assert ax.images[0].get_cmap().name == "gray"


def test_images_of_different_size_colour_and_grey():
    grey, rgb, one = RNG.random((5, 6)), RNG.random((4, 4, 3)), RNG.random((3, 3, 1))
    axes = plots.plot_images([grey, rgb, one])
    np.testing.assert_allclose(axes[1].images[0].get_array(), rgb)
    np.testing.assert_array_equal(axes[2].images[0].get_array(), one[:, :, 0])
    assert axes[2].images[0].get_clim() == axes[0].images[0].get_clim() == (0, 1)


def test_images_limits_from_all_images_together():
    axes = plots.plot_images(
        [np.array([[-2.0, 0]]), np.array([[0, 6.0]]), np.full((1, 1, 3), 2.0)], vmin=None, vmax=None
    )
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim() == (-2, 6)
    np.testing.assert_allclose(axes[2].images[0].get_array(), 0.5)  # colours are scaled by the same limits


def test_uint8_images():
    images = RNG.integers(0, 256, (2, 4, 4, 4), dtype=np.uint8)
    images[0, 0, 0, 0] = 255
    with pytest.raises(ValueError, match=r"values reach 255 but `vmax` draws 1 white .* Use vmax=255"):
        plots.plot_images(images)
    with pytest.raises(ValueError, match="draws 1 white"):  # the division forgotten after astype
        plots.plot_images(images.astype(float))
    axes = plots.plot_images(images, vmax=255)
    np.testing.assert_allclose(axes[1].images[0].get_array(), images[1] / 255)


def test_images_on_given_axes():
    given = plt.subplots(2, 2)[1]
    axes = plots.plot_images(np.zeros((3, 4, 4)), axes=given)
    assert list(axes) == list(given.ravel()[:3])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_images(np.zeros((28, 28))), r"For one image, use \[image\]"),
        (lambda: plots.plot_images(np.zeros((28, 28, 3))), r"For one image, use \[image\]"),
        (lambda: plots.plot_images([]), "at least one image"),
        (lambda: plots.plot_images([np.zeros((4, 4, 2))]), "1, 3 or 4 channels"),
        (lambda: plots.plot_images([np.zeros(4)]), r"`images\[0\]` must have 2 axes"),
        (lambda: plots.plot_images(np.zeros((2, 4, 4)), titles=["a"]), "`titles` must hold one text per image"),
        (lambda: plots.plot_images(np.zeros((2, 4, 4)), columns=0), "`columns` must be an integer >= 1"),
        (lambda: plots.plot_images(np.zeros((2, 4, 4)), axes=[1, 2]), "`axes` must hold 2 matplotlib Axes"),
        (lambda: plots.plot_images(np.zeros((2, 4, 4)), axes=plt.subplots()[1]), "`axes` must hold 2"),
    ],
)
def test_image_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- matrices and kernels ---------------------------------------------------------------------------------------------


def test_matrix_writes_its_numbers():
    ax = plots.plot_matrix([[1, 2.5, -3], [0.123, 1e3, 123.4]], highlight=[(0, 0, 2, 2), (0, 1, 1, 3)])
    assert words(ax) == ["1", "2.5", "-3", "0.12", "1000", "123"]
    assert boxes(ax) == [(0, 0, 2, 2), (0, 1, 1, 3)]
    assert len({patch.get_linestyle() for patch in ax.patches}) == 2  # not by colour alone
    assert ax.get_xlabel() == "column (pixels)"
    assert ax.get_title() == "2×3 matrix, values -3 to 1000"
    assert words(plots.plot_matrix([1, 2, 3], title="row", numbers=False)) == []


@pytest.mark.parametrize("cmap", ["gray", "viridis", "RdBu_r"])
def test_numbers_are_readable_on_every_colour(cmap):
    def luminance(colour):
        c = np.array(to_rgb(colour))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    ax = plots.plot_matrix(np.linspace(-1, 1, 64).reshape(8, 8), cmap=cmap)
    for text, cell in zip(ax.texts, ax.images[0].to_rgba(ax.images[0].get_array()).reshape(-1, 4), strict=True):
        low, high = sorted([luminance(text.get_color()), luminance(cell[:3])])
        assert (high + 0.05) / (low + 0.05) >= 4.5, "WCAG 2.2, 1.4.3"


def test_signed_matrix_is_centred_and_given_limits_hold():
    assert plots.plot_matrix([[-1, 4]], cmap="RdBu_r").images[0].get_clim() == (-4, 4)
    assert plots.plot_matrix([[-1, 4]], vmin=0, vmax=9).images[0].get_clim() == (0, 9)


def test_large_matrix_stays_a_picture():
    ax = plots.plot_matrix(np.eye(100), numbers=False)
    assert max(ax.figure.get_size_inches()) < 9
    assert len(ax.get_xticks()) < 20


def test_kernel_white_is_zero():
    ax = plots.plot_kernel([[1, 0, -2]] * 3, numbers=True)
    assert ax.images[0].get_clim() == (-2, 2)
    assert ax.images[0].get_cmap().name == "RdBu_r"
    assert words(ax)[:3] == ["1", "0", "-2"]
    assert plots.plot_kernel([0, 0], ax=ax).images[-1].get_clim() == (-1, 1)
    assert plots.plot_kernel([np.nan, 3], ax=ax).images[-1].get_clim() == (-3, 3)


def test_kernels_share_one_scale():
    kernels = RNG.normal(size=(3, 3, 4, 5))
    axes = plots.plot_kernels(kernels, titles=list("abcde"), columns=3)
    means = kernels.mean(axis=2)
    assert {ax.images[0].get_clim() for ax in axes} == {(-np.abs(means).max(), np.abs(means).max())}
    np.testing.assert_array_equal(axes[4].images[0].get_array(), means[:, :, 4])
    assert "mean over channels" in axes[0].figure.get_suptitle()
    axes = plots.plot_kernels(kernels, channel=2)
    np.testing.assert_array_equal(axes[1].images[0].get_array(), kernels[:, :, 2, 1])
    assert "channel 2" in axes[0].figure.get_suptitle()


def test_rgb_kernels_are_colours_around_mid_grey():
    kernels = np.zeros((2, 2, 3, 2))
    kernels[0, 0, :, 1] = [4, -4, 2]
    axes = plots.plot_kernels(kernels)
    np.testing.assert_allclose(axes[0].images[0].get_array(), 0.5)
    np.testing.assert_allclose(axes[1].images[0].get_array()[0, 0], [1, 0, 0.75])


def test_feature_maps_share_one_scale():
    maps = RNG.normal(size=(5, 6, 3))
    limit = np.abs(maps).max()
    for values, clim, cmap in ((maps, (-limit, limit), "RdBu_r"), (np.abs(maps), (0, limit), "viridis")):
        axes = plots.plot_feature_maps(values, titles=list("abc"))
        assert {(ax.images[0].get_clim(), ax.images[0].get_cmap().name) for ax in axes} == {(clim, cmap)}
        assert axes[0].figure.axes[-1].get_ylabel() == "value"
        assert [ax.get_title() for ax in axes] == ["a", "b", "c"]
    np.testing.assert_array_equal(axes[2].images[0].get_array(), values[:, :, 2])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_matrix(np.zeros((2, 2, 2))), r"plot_matrix: `matrix` must have 2 axes \(h, w\)"),
        (lambda: plots.plot_matrix([["a"]]), "`matrix` must be an array of numbers"),
        (lambda: plots.plot_matrix(np.zeros((0, 2))), "`matrix` must hold at least one number"),
        (lambda: plots.plot_matrix(X, highlight=[(0, 0, 7, 2)]), "inside the 6×6 matrix"),
        (lambda: plots.plot_matrix(X, highlight=[(0, 0, 2)]), r"\(row0, col0, row1, col1\)"),
        (lambda: plots.plot_matrix(X, ax=plt.subplots(1, 2)[1]), "`ax` must be one matplotlib Axes"),
        (lambda: plots.plot_kernel(np.zeros((3, 3, 1, 8))), r"plot_kernel: `kernel` must have 2 axes"),
        (lambda: plots.plot_kernels(np.zeros((3, 3))), r"`kernels` must have 4 axes \(kh, kw, c_in, c_out\)"),
        (lambda: plots.plot_kernels(np.zeros((3, 3, 2, 1)), channel=2), "Use channel=1"),
        (lambda: plots.plot_feature_maps(np.zeros((1, 5, 5, 3))), r"`maps` must have 3 axes \(h, w, c\)"),
        (lambda: plots.plot_feature_maps([[[1], [2]], [[3]]]), "`maps` must be an array of numbers"),
    ],
)
def test_matrix_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- convolution ------------------------------------------------------------------------------------------------------


def test_convolution_frames_the_window_and_its_cell():
    kernel = np.array([[1, 0, -1]] * 3)
    y = correlate2d(X, kernel, mode="valid")
    axes = plots.plot_convolution(X, kernel, y, at=(1, 2))
    assert boxes(axes[0]) == [(1, 2, 4, 5)]
    assert boxes(axes[2]) == [(1, 2, 2, 3)]
    assert words(axes[0]) == [str(value) for value in X.ravel()]
    assert words(axes[1]) == ["1", "0", "-1"] * 3
    assert axes[0].figure.get_suptitle() == f"output (1, 2): the 9 products under the frame sum to {y[1, 2]}"
    assert [ax.get_title() for ax in axes] == ["input", "kernel", "output"]
    assert axes[2].images[0].get_clim() == (-np.abs(y).max(), np.abs(y).max())


def test_convolution_with_stride_zeros_and_dilation():
    kernel = np.array([[1, 2], [3, 4]])
    holes = np.array([[1, 0, 2], [0, 0, 0], [3, 0, 4]])
    y = correlate2d(np.pad(X, 1), holes, mode="valid")[::2, ::2]
    settings = {"stride": 2, "padding": 1, "dilation": 2}
    axes = plots.plot_convolution(X, kernel, y, at=(0, 1), **settings)
    assert hatched(axes[0]) == 8 * 8 - 6 * 6
    assert (-1, 1, 2, 4) in boxes(axes[0])  # the span
    assert {(-1, 1, 0, 2), (-1, 3, 0, 4), (1, 1, 2, 2), (1, 3, 2, 4)} <= set(boxes(axes[0]))  # the taps
    assert axes[0].figure.get_suptitle().endswith(f"sum to {y[0, 1]}")
    axes = plots.plot_convolution(X, kernel, y + 5, at=(0, 1), **settings)
    assert axes[0].figure.get_suptitle().endswith(f"sum to {y[0, 1]}, y holds {y[0, 1] + 5}")
    with pytest.raises(ValueError, match="Pass the stride, padding and dilation that made y"):
        plots.plot_convolution(X, kernel, y)
    with pytest.raises(ValueError, match=r"Use at most at=\(2, 2\)"):
        plots.plot_convolution(X, kernel, y, at=(3, 0), **settings)


def test_convolution_of_a_large_image_writes_no_numbers():
    x = RNG.random((40, 30))
    axes = plots.plot_convolution(x, [[1]], x, axes=plt.subplots(1, 3)[1], title="same")
    assert words(axes[0]) == words(axes[2]) == []
    assert boxes(axes[2]) == [(20, 15, 21, 16)]  # the middle
    assert axes[0].figure.get_suptitle() == "same"


@settings(max_examples=25, deadline=None)
@given(
    kernel_size=st.integers(1, 4),
    extra=st.integers(0, 9),
    stride=st.integers(1, 5),
    padding=st.sampled_from([0, 1, (0, 2), "same", "full", "causal"]),
    dilation=st.integers(1, 3),
)
def test_positions(kernel_size, extra, stride, padding, dilation):
    n = dilation * (kernel_size - 1) + 1 + extra
    ax = plots.plot_positions(n, kernel_size, stride=stride, padding=padding, dilation=dilation)
    before, after = shapes.pad_amounts(n, kernel_size, stride=stride, padding=padding, dilation=dilation)
    want = np.zeros((0, before + n + after))
    start, span = 0, dilation * (kernel_size - 1) + 1
    while start + span <= before + n + after:  # walk along the padded row
        want = np.vstack([want, np.zeros(want.shape[1])])
        want[-1, start : start + span : dilation] = 1
        start += stride
    unread = np.flatnonzero(~want.any(axis=0)[before : before + n])
    state = ax.images[0].get_array()
    np.testing.assert_array_equal(state[1:] == 1, want)
    np.testing.assert_array_equal(np.flatnonzero((state == 2).all(axis=0)), unread + before)
    assert hatched(ax) == (before + after) * len(state)
    left, right = ax.images[0].get_extent()[:2]
    assert (left, right) == (-before - 0.5, n + after - 0.5)
    marked = {line.get_label(): line.get_xdata() for line in ax.lines}
    np.testing.assert_array_equal(marked.get("_unread", []), unread)
    assert sorted(marked["_taps"]) == sorted(np.nonzero(want)[1] - before)
    assert ax.get_title() == (
        f"{len(want)} position{'s' * (len(want) != 1)}, {len(unread)} pixel{'s' * (len(unread) != 1)} never read"
    )
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert ("added zero" in legend) == (before + after > 0)
    assert ("pixel never read (×)" in legend) == (len(unread) > 0)
    plt.close(ax.figure)


def test_positions_of_a_wide_row():
    ax = plots.plot_positions(n=227, kernel_size=11, stride=4, title="AlexNet")
    assert ax.get_title() == "AlexNet"
    assert len(ax.collections) == 0  # too many cells for lines between them
    assert max(ax.figure.get_size_inches()) <= 12


def test_padding_hatches_the_zeros_only():
    ax = plots.plot_padding(X, kernel_size=3, padding=((1, 2), (0, 3)))
    assert hatched(ax) == 9 * 9 - 36
    assert boxes(ax) == [(0, 0, 6, 6)]
    np.testing.assert_array_equal(ax.images[0].get_array(), X)
    assert len(words(ax)) == 81
    assert ax.get_xlim() == (-0.5, 8.5)
    assert ax.get_ylim() == (7.5, -1.5)
    assert ax.get_title() == "6×6 and zeros (1 top, 2 bottom, 0 left, 3 right)\nmake 9×9; out comes 7×7"
    assert hatched(plots.plot_padding(X, kernel_size=1, padding=0, ax=plt.subplots()[1])) == 0


def test_padding_of_a_colour_image():
    image = RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    ax = plots.plot_padding(image, kernel_size=(5, 3), padding="same", title="zeros around")
    np.testing.assert_allclose(ax.images[0].get_array(), image / 255)
    assert hatched(ax) == 24 * 26 - 20 * 24
    assert words(ax) == []
    assert ax.get_title() == "zeros around"


@settings(max_examples=60, deadline=None)
@given(
    kernel_size=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    stride=st.integers(1, 4),
    padding=st.sampled_from([0, 1, "same", "full", ((1, 0), (0, 2))]),
    dilation=st.integers(1, 2),
)
def test_coverage_counts_window_by_window(kernel_size, stride, padding, dilation):
    (kh, kw), (h, w) = kernel_size, (8, 9)
    axes = shapes.windows((h, w), kernel_size, stride=stride, padding=padding, dilation=dilation)
    (top, bottom), (left, right) = [(axis.before, axis.after) for axis in axes]
    padded = np.zeros((top + h + bottom, left + w + right), int)
    for i in range(0, len(padded) - dilation * (kh - 1), stride):
        for j in range(0, padded.shape[1] - dilation * (kw - 1), stride):
            padded[i : i + dilation * kh : dilation, j : j + dilation * kw : dilation] += 1
    got = plots.coverage_counts((h, w), kernel_size, stride=stride, padding=padding, dilation=dilation)
    np.testing.assert_array_equal(got, padded[top : top + h, left : left + w])


def test_coverage_marks_what_nothing_reads():
    ax = plots.plot_coverage(5, 2, stride=3)
    np.testing.assert_array_equal(ax.images[0].get_array(), plots.coverage_counts(5, 2, stride=3))
    assert words(ax) == ["1"] * 16
    assert ax.lines[0].get_xydata().tolist() == [[2, 0], [2, 1], *([i, 2] for i in range(5)), [2, 3], [2, 4]]
    assert ax.get_title() == "each pixel is read by 0 to 1 windows;\n9 pixels by none"
    ax = plots.plot_coverage(30, 3, title="large")
    assert (words(ax), ax.get_title()) == ([], "large")
    assert ax.figure.axes[1].get_ylabel() == "windows that read the pixel"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_positions(0, 3), "plot_positions: `n` must be an integer >= 1"),
        (lambda: plots.plot_positions(4, 5), "plot_positions: the kernel spans 5 pixels"),
        (lambda: plots.plot_padding(X, kernel_size=3, padding="half"), "plot_padding: `padding` must be one of"),
        (lambda: plots.plot_padding(np.zeros((2, 4, 4, 3)), kernel_size=3, padding=1), "must have 2 axes"),
        (lambda: plots.plot_coverage(4, 5), "plot_coverage: the kernel spans 5 pixels"),
        (lambda: plots.coverage_counts((4, 4, 4), 3), "coverage_counts: `size` must be one integer, or one per axis"),
    ],
)
def test_convolution_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", [HISTORY, SimpleNamespace(history=HISTORY)])
def test_training_curves(record):
    axes = plots.plot_training(record, title="LeNet-5")
    for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
        train, val = ax.lines
        assert train.get_xydata().tolist() == [[i + 1, y] for i, y in enumerate(HISTORY[key])]
        assert val.get_ydata().tolist() == HISTORY[f"val_{key}"]
        assert (train.get_linestyle(), val.get_linestyle()) == ("-", "--")
        assert train.get_marker() != val.get_marker()
        assert ax.get_xlabel() == "epoch"
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]
        ax.figure.canvas.draw()
        assert all(tick.is_integer() for tick in ax.get_xticks())
    assert axes[0].get_title() == "validation loss is lowest after epoch 2 of 3"
    assert axes[0].figure.get_suptitle() == "LeNet-5"


def test_training_without_validation():
    axes = plots.plot_training({"loss": [0.5], "accuracy": [0.75], "val_loss": None}, axes=plt.subplots(2)[1])
    assert [len(ax.lines) for ax in axes] == [1, 1]
    assert axes[0].get_title() == "training loss is lowest after epoch 1 of 1"
    assert axes[1].get_title() == "training accuracy ends at 0.750"


def test_bands_show_mean_lowest_and_highest():
    x, seeds = np.arange(4), RNG.random((5, 4))
    ax = plots.plot_bands(x, {"a": seeds, "b": seeds + 1, "c": seeds - 1}, xlabel="epoch", ylabel="loss (nats)")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), seeds.mean(axis=0) + 1)
    band = ax.collections[0].get_paths()[0].vertices
    for place in x:
        column = band[band[:, 0] == place, 1]
        assert (column.min(), column.max()) == (seeds[:, place].min(), seeds[:, place].max())
    for look in ("get_linestyle", "get_marker", "get_color"):
        assert len({getattr(line, look)() for line in ax.lines}) == 3
    assert ax.get_legend().get_title().get_text() == "mean of 5 seeds, band: lowest to highest"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats)")
    assert ax.get_title().startswith('"b" ends highest')


def test_bands_legend_tells_how_many_seeds():
    one, three = np.ones((1, 2)), np.ones((3, 2))
    ax = plots.plot_bands([1, 2], {"a": one, "b": three}, labels=["first", "second"], title="t")
    assert ax.get_legend().get_title().get_text() == "mean of 1 to 3 seeds, band: lowest to highest"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["first", "second"]
    assert plots.plot_bands([1, 2], {"a": one}).get_legend().get_title().get_text() == "one seed: no band"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_training({"loss": [1]}), r"`record` must hold lists .* \(record=\['loss'\]\)"),
        (lambda: plots.plot_training(3), r"\(record='int'\)"),
        (lambda: plots.plot_training({**HISTORY, "val_loss": [1]}), "Cut or fill them to 3 numbers"),
        (lambda: plots.plot_training({"loss": [], "accuracy": []}), "`loss` must hold at least one number"),
        (lambda: plots.plot_bands([1, 2], [[1, 2]]), "`curves` must be a dict"),
        (lambda: plots.plot_bands([1, 2], {}), "`curves` must be a dict"),
        (lambda: plots.plot_bands([1, 2], {"a": [1, 2]}), r"`curves\['a'\]` must have 2 axes \(seeds, points\)"),
        (lambda: plots.plot_bands([1, 2], {"a": [[1, 2, 3]]}), "curve 'a' has 3 points but `x` has 2"),
        (lambda: plots.plot_bands([1, 2], {"a": [[1, 2]]}, labels=[]), "`labels` must hold one text per curve"),
    ],
)
def test_training_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- classification ---------------------------------------------------------------------------------------------------


def test_confusion_rows_are_true_columns_predicted():
    true, predicted = RNG.integers(0, 4, 200), RNG.integers(0, 4, 200)
    names = ["Ankle boot", "Bag", "Coat", "Great horned owl"]
    ax = plots.plot_confusion(true, predicted, names)
    counts = confusion_matrix(true, predicted)
    assert words(ax) == [str(count) for count in counts.ravel()]
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown.mask, np.eye(4, dtype=bool))  # the diagonal keeps out of the colour scale
    assert ax.images[0].get_clim() == (0, shown.max())
    assert boxes(ax) == [(i, i, i + 1, i + 1) for i in range(4)]
    assert [label.get_text() for label in ax.get_xticklabels()] == names
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.get_title().startswith(f"{(true == predicted).sum()} of 200 right;\nmost often")


def test_confusion_with_classes_that_do_not_occur():
    ax = plots.plot_confusion([0, 0, 0], [0, 2, 2], ["a", "b", "c"])
    assert words(ax) == ["1", "0", "2", "0", "0", "0", "0", "0", "0"]
    assert ax.get_title() == '1 of 3 right;\nmost often "a" is taken for "c" (2 times)'
    assert plots.plot_confusion([1], [1], ["a", "b"]).get_title() == "1 of 1 right"
    assert plots.plot_confusion([1], [1], ["a", "b"], title="t").get_title() == "t"


def test_mistakes_surest_first():
    images = np.arange(6)[:, None, None] * np.full((6, 2, 2), 0.1)
    true, predicted = [0, 1, 0, 1, 0, 1], [1, 1, 1, 0, 1, 1]
    axes = plots.plot_mistakes(images, true, predicted, ["cat", "dog"], confidence=[0.5, 1, 0.9, 0.6, 0.9, 1], most=3)
    assert [ax.get_title() for ax in axes] == ["cat → dog\n0.90", "cat → dog\n0.90", "dog → cat\n0.60"]
    assert [round(float(ax.images[0].get_array()[0, 0]) * 10) for ax in axes] == [2, 4, 3]
    assert axes[0].figure.get_suptitle() == "4 mistakes among 6 images, here 3, the surest first"
    axes = plots.plot_mistakes(images, true, predicted, ["cat", "golden retriever"])
    assert [ax.get_title() for ax in axes][2] == "golden retriever →\ncat"
    assert axes[0].figure.get_suptitle() == "4 mistakes among 6 images"


def test_no_mistakes_says_so():
    (ax,) = plots.plot_mistakes(np.zeros((2, 4, 4)), [0, 1], [0, 1], ["cat", "dog"])
    assert ax.get_title() == "no mistakes among 2 images"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_confusion([0], [[0.2, 0.8]], "ab"), r"Use predicted.argmax\(axis=1\)"),
        (lambda: plots.plot_confusion([[0]], [0], "ab"), r"Use true.ravel\(\)"),
        (lambda: plots.plot_confusion([0, 2], [0, 1], "ab"), "`true` must hold class numbers from 0 to 1"),
        (lambda: plots.plot_confusion([0.0], [0], "ab"), "`true` must hold class numbers"),
        (lambda: plots.plot_confusion(["a"], [0], "ab"), "`true` must be an array of numbers"),
        (lambda: plots.plot_confusion([0, 1], [0], "ab"), "must have the same length"),
        (lambda: plots.plot_mistakes(np.zeros((3, 4, 4)), [0, 1], [0, 1], "ab"), "Cut them all to the first 2"),
        (lambda: plots.plot_mistakes(np.zeros((1, 4, 4)), [0], [0], "ab", confidence=[]), "`confidence` must hold"),
        (lambda: plots.plot_mistakes(np.zeros((1, 4, 4)), [0], [0], "ab", most=0), "`most` must be an integer >= 1"),
    ],
)
def test_classification_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def side(x):
    """A classifier of the plane: class 1 right of the middle."""
    return (x[:, 0] > 0).astype(int)


def test_regions_ask_the_classifier_everywhere():
    x, y = RNG.normal(size=(40, 2)), RNG.integers(0, 2, 40)
    ax = plots.plot_decision_regions(side, x, y, class_names=["left", "right"], steps=50)
    mesh = ax.collections[0]
    middles = mesh.get_coordinates().mean(axis=(0, 1))
    np.testing.assert_allclose(middles, (x.min(axis=0) + x.max(axis=0)) / 2, atol=1e-9)
    across = np.linspace(*ax.get_xlim(), 50)
    np.testing.assert_array_equal(mesh.get_array(), np.tile(side(across[:, None]), (50, 1)))
    wrong = side(x) != y
    assert ax.get_title() == f"{(~wrong).sum()} of 40 points lie in the region of their class"
    shown = {c.get_label(): c for c in ax.collections if c.get_label() in ("left", "right")}
    for number, name in enumerate(("left", "right")):
        np.testing.assert_array_equal(shown[name].get_offsets(), x[y == number])
        rims = shown[name].get_edgecolor()[:, :3]
        np.testing.assert_array_equal((rims == 0).all(axis=1), wrong[y == number])
    assert not np.array_equal(shown["left"].get_facecolor(), shown["right"].get_facecolor())
    assert shown["left"].get_paths()[0].vertices.shape != shown["right"].get_paths()[0].vertices.shape  # the marker
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["left", "right", "black rim: taken\nfor another"]


def test_regions_of_signed_classes_and_of_none_wrong():
    x = np.array([[-1.0, 0], [1, 0]])
    ax = plots.plot_decision_regions(lambda x: np.where(x[:, 0] > 0, 1.0, -1.0), x, [-1, 1], title="t", xlabel="cm")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["-1", "1"]
    assert (ax.get_title(), ax.get_xlabel()) == ("t", "cm")
    ax = plots.plot_decision_regions(side, x, [1, 1], class_names=["a", "b", "c"], ax=plt.subplots()[1])
    assert [t.get_text() for t in ax.get_legend().get_texts()][:2] == ["a", "b"]  # by number: 2 does not occur


def test_many_regions_carry_their_names():
    def wedge(x):
        return ((np.arctan2(x[:, 1], x[:, 0]) + np.pi) / (2 * np.pi) * 8).astype(int).clip(0, 7)

    x = RNG.normal(size=(400, 2))
    ax = plots.plot_decision_regions(wedge, x, wedge(x), class_names=list("abcdefgh"))
    assert ax.get_legend() is None
    for text in ax.texts:  # each name inside its region
        assert "abcdefgh"[wedge(np.array([text.get_position()]))[0]] == text.get_text()
    assert len(words(ax)) == 8
    sliver = plots.plot_decision_regions(
        lambda x: np.where(x[:, 0] < x[:, 0].min() + 1e-9, 7, wedge(x).clip(0, 6)), x, wedge(x)
    )
    assert "7" not in words(sliver)


@pytest.mark.parametrize(
    "predict, x, y, message",
    [
        (side, np.zeros((4, 3)), np.zeros(4, int), r"points \(n, 2\)"),
        (side, np.zeros((4, 2)), np.zeros(3, int), r"points \(n, 2\)"),
        (side, np.zeros((4, 2)), np.zeros(4), r"y.astype\(int\)"),
        (lambda x: x, np.zeros((4, 2)), np.zeros(4, int), r"one class number per point, \(40000,\) .*argmax"),
        (lambda x: x[:, :1], np.zeros((4, 2)), np.zeros(4, int), "ravel"),
        (lambda x: x[:, 0], np.zeros((4, 2)), np.zeros(4, int), "> 0"),
    ],
)
def test_region_errors(predict, x, y, message):
    with pytest.raises(ValueError, match=f"plot_decision_regions: .*{message}"):
        plots.plot_decision_regions(predict, x, y)
    with pytest.raises(ValueError, match="`class_names` must hold one text per class"):
        plots.plot_decision_regions(side, [[0, 0], [1, 1]], [0, 1], class_names=["a"])


# --- inside a network -------------------------------------------------------------------------------------------------


def test_weights_of_each_unit_as_an_image():
    weights = RNG.normal(size=(12, 5))
    axes = plots.plot_weights(weights, image_shape=(3, 4), titles=list("abcde"))
    limit = np.abs(weights).max()
    assert {ax.images[0].get_clim() for ax in axes} == {(-limit, limit)}
    assert axes[0].images[0].get_cmap().name == "RdBu_r"
    np.testing.assert_array_equal(axes[2].images[0].get_array(), weights[:, 2].reshape(3, 4))
    (one,) = plots.plot_weights(weights[:, 2], image_shape=(3, 4))
    np.testing.assert_array_equal(one.images[0].get_array(), weights[:, 2].reshape(3, 4))
    assert [ax.get_title() for ax in axes] == list("abcde")
    assert axes[0].figure.get_suptitle().startswith("weights of 5 units as 3×4 images: white is zero")


def test_weights_that_are_images_already():
    images = RNG.normal(size=(2, 3, 4))
    np.testing.assert_array_equal(plots.plot_weights(images)[1].images[0].get_array(), images[1])
    np.testing.assert_array_equal(plots.plot_weights(images[..., None])[1].images[0].get_array(), images[1])
    assert plots.plot_weights(images, title="t")[0].figure.get_suptitle() == "t"
    colours = RNG.normal(size=(2, 3, 4, 3))
    for axes in (
        plots.plot_weights(colours),
        plots.plot_weights(colours.reshape(2, -1).T, image_shape=(3, 4, 3)),
    ):
        shown = axes[1].images[0].get_array()
        np.testing.assert_allclose(shown, 0.5 + colours[1] / (2 * np.abs(colours).max()))
        assert "mid-grey is zero" in axes[0].figure.get_suptitle()


@pytest.mark.parametrize(
    "weights, image_shape, message",
    [
        (np.ones((64, 10)), None, r"Use for example image_shape=\(8, 8\)"),
        (np.ones((60, 10)), (8, 8), r"Use for example image_shape=\(1, 60\)"),
        (np.ones((10, 64)), (8, 8), r"Pass weights.T"),
        (np.ones((64, 10)), 64, "64 numbers in all"),
        (np.ones((64, 10)), (4, 4, 4), "1 or 3 channels"),
        (np.ones(64), (4, 8), r"image_shape=\(8, 8\)"),
        (np.ones(64), None, r"`weights` must have 3 axes \(units, h, w\)"),
    ],
)
def test_weight_errors(weights, image_shape, message):
    with pytest.raises(ValueError, match=f"plot_weights: .*{message}"):
        plots.plot_weights(weights, image_shape=image_shape)


def test_distributions_as_ridges():
    first, second = RNG.normal(size=(50, 40)), np.maximum(RNG.normal(size=2000), 0)
    ax = plots.plot_distributions({"first": first, "second": second}, x_range=(-3, 3), saturated=(-5, 2))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["first", "second"]
    assert ax.get_xlim() == (-3, 3)
    share = 100 * np.mean(first >= 2)
    assert words(ax)[0] == f"std {first.std():.2g}, saturated {share:.0f} %"
    assert words(ax)[1].startswith(f"std {second.std():.2g}, zero {100 * np.mean(second == 0):.0f} %")
    drawn = ax.patches[0].get_data()
    counts = np.histogram(first, drawn.edges)[0]
    np.testing.assert_allclose(0 - drawn.values, 0.9 * counts / counts.max())
    drawn = ax.patches[2].get_data()
    counts = np.histogram(second[second > 0], drawn.edges)[0]  # the zeros would flatten the rest
    np.testing.assert_allclose(1 - drawn.values, 0.9 * counts / counts.max())


def test_distributions_as_bands():
    layers = [RNG.normal(size=500) * scale for scale in (1, 0.5, 0.1)]
    ax = plots.plot_distributions(layers, kind="bands", title="shrinks", xlabel="tanh")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["layer 1", "layer 2", "layer 3"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [np.median(values) for values in layers])
    outer = ax.collections[0].get_paths()[0].vertices
    for place, values in enumerate(layers):
        column = outer[outer[:, 0] == place, 1]
        np.testing.assert_allclose((column.min(), column.max()), np.quantile(values, [0.05, 0.95]))
    assert (ax.get_title(), ax.get_ylabel()) == ("shrinks", "tanh")
    many = plots.plot_distributions([np.ones(3)] * 12, kind="bands")
    assert {text.get_rotation() for text in many.texts} == {90}


def test_distributions_of_an_exploded_network():
    ax = plots.plot_distributions({"a": [1.0, np.inf, np.nan, -1.0], "b": [np.nan]})
    assert words(ax) == ["std 1, not finite 50 %", "not finite 100 %"]
    assert ax.get_title() == 'spread (std) 1 in "a", ? in "b"'
    assert plots.plot_distributions([[2.0, 2.0]], ax=plt.subplots()[1]).get_title() == 'spread (std) 0 in "layer 1"'
    plots.plot_distributions({"a": [1.0, 2.0], "b": [np.nan]}, kind="bands")


def test_graph_is_drawn_by_the_value():
    ax = plt.subplots()[1]
    value = SimpleNamespace(draw=lambda *, ax, title: (ax, title))
    assert plots.plot_graph(value, ax=ax, title="t") == (ax, "t")
    with pytest.raises(ValueError, match=r"plot_graph: `value` must be a scratch.Value.*Value\(3.0\)"):
        plots.plot_graph(3.0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_distributions({}), "at least one array"),
        (lambda: plots.plot_distributions([["a"]]), r"`activations\['layer 1'\]` must be an array of numbers"),
        (lambda: plots.plot_distributions([[1.0]], kind="violin"), "`kind` must be one of 'ridges', 'bands'"),
        (lambda: plots.plot_distributions([[1.0]], x_range=(1, 1)), r"`x_range` must be \(low, high\) with low < high"),
        (lambda: plots.plot_distributions([[1.0]], saturated=0.99), r"Use for example saturated=\(-1, 1\)"),
    ],
)
def test_distribution_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- optimisation -----------------------------------------------------------------------------------------------------


def bowl(x, y):
    return x**2 + 4 * y**2


def test_surface_with_paths():
    paths = {"SGD": [[2, 1], [1, 0.5]], "Adam": [[2, 1], [0.5, 0.25]], "lost": [[2, 1], [np.nan, 9]]}
    ax = plots.plot_loss_surface(bowl, x_range=(-3, 3), y_range=(-2, 2), paths=paths, minimum=(0, 0))
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert lines["SGD"].get_xydata().tolist() == paths["SGD"]
    assert lines["lost (leaves the picture)"].get_xydata().tolist() == [[2, 1]]
    for look in ("get_linestyle", "get_marker", "get_color"):
        assert len({getattr(line, look)() for name, line in lines.items() if name != "minimum"}) == 3
    ends = [line.get_xydata()[0].tolist() for line in ax.lines if line.get_label() == "_end"]
    assert ends == [[1, 0.5], [0.5, 0.25]]
    assert [line.get_xydata()[0].tolist() for line in ax.lines if line.get_label() == "_start"] == [[2, 1]] * 3
    assert ax.get_title() == '"Adam" ends lowest (loss 0.5)'
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == [
        "SGD", "Adam", "lost (leaves the picture)", "start", "minimum",
    ]  # fmt: skip
    ax.figure.canvas.draw()
    assert legend.get_window_extent().y1 < ax.get_window_extent().y0  # below the picture, hides nothing
    assert (ax.get_xlim(), ax.get_ylim()) == ((-3, 3), (-2, 2))


def test_surface_levels_are_equal_steps_or_equal_ratios():
    for log, step in ((False, np.diff), (True, lambda levels: levels[1:] / levels[:-1])):
        ax = plots.plot_loss_surface(bowl, x_range=(-3, 3), y_range=(-2, 2), log=log, label="error")
        steps = step(ax.collections[0].levels)
        np.testing.assert_allclose(steps, steps[0])
        assert ax.figure.axes[1].get_ylabel() == "error"
        assert ax.get_legend() is None
    ax = plots.plot_loss_surface(bowl, x_range=(0, 2), y_range=(1, 2))
    assert ax.get_title() == "lowest loss drawn 4, at (0, 1)"
    plots.plot_loss_surface(lambda x, y: 0 * x, x_range=(0, 1), y_range=(0, 1), title="flat")
    plots.plot_loss_surface(lambda x, y: 0 * x + 1, x_range=(0, 1), y_range=(0, 1), title="flat", log=True)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"f": lambda x, y: 3.0}, r"Use np.vectorize\(f\)"),
        ({"x_range": (1, 0)}, "`x_range` must be"),
        ({"paths": [[0, 0]]}, "`paths` must be a dict"),
        ({"paths": {"a": [[0, 0, 0]]}}, "path 'a' must have two columns"),
        ({"paths": {"a": [0, 0]}}, r"`paths\['a'\]` must have 2 axes"),
        ({"f": lambda x, y: x - 9, "log": True}, "Use log=False"),
        ({"f": lambda x, y: x * np.nan}, "finite somewhere"),
    ],
)
def test_surface_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_loss_surface(**{"f": bowl, "x_range": (0, 1), "y_range": (0, 1), **changes})


SEARCH = {"learning_rates": [1e-3, 1e-2, 0.1], "losses": [2.3, 1, 400], "smoothed": [2.3, 1.2, 90], "suggestion": 0.005}


def test_learning_rate_search():
    ax = plots.plot_learning_rates(SimpleNamespace(**SEARCH))
    assert ax.get_xscale() == "log"
    assert ax.lines[0].get_ydata().tolist() == SEARCH["losses"]
    assert ax.lines[1].get_xydata().tolist() == [[1e-3, 2.3], [1e-2, 1.2], [0.1, 90]]
    assert set(ax.lines[2].get_xdata()) == {0.005}
    assert ax.get_ylim()[1] < 5  # what diverges is cut off
    assert ax.get_ylim()[0] < 1  # what is measured lowest is not
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == (
        "learning rate", "loss", "suggested learning rate 0.005",
    )  # fmt: skip
    none = plots.plot_learning_rates(SimpleNamespace(**{**SEARCH, "suggestion": None}))
    assert (len(none.lines), none.get_title()) == (2, "no suggestion: no rate helps")
    assert plots.plot_learning_rates(SimpleNamespace(**SEARCH), ax=ax, title="t").get_title() == "t"


def test_schedules():
    ax = plots.plot_schedule({"constant": np.full(100, 0.1), "falling": np.linspace(0.1, 0, 100)}, log=False)
    assert ax.lines[1].get_xydata()[[0, -1]].tolist() == [[0, 0.1], [99, 0]]
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    assert ax.lines[0].get_markevery() > 1
    assert ax.get_title() == "from 0.1 to: constant 0.1, falling 0"
    ax = plots.plot_schedule({"a": [0.1, 0.2], "b": [0.2, 0.4]}, xlabel="epoch", log=True)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_yscale()) == ("ends at: a 0.2, b 0.4", "epoch", "log")


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: plots.plot_learning_rates(SimpleNamespace(losses=[1])),
            "it lacks learning_rates, smoothed, suggestion",
        ),
        (lambda: plots.plot_learning_rates(SimpleNamespace(**{**SEARCH, "losses": [1, 2]})), "Cut them all to 2"),
        (
            lambda: plots.plot_learning_rates(SimpleNamespace(**{**SEARCH, "smoothed": [np.nan] * 3})),
            "from a lower rate",
        ),
        (lambda: plots.plot_schedule({}), "`schedules` must be a dict"),
        (lambda: plots.plot_schedule({"a": [[0.1]]}), r"`schedules\['a'\]` must have 1 axes"),
    ],
)
def test_learning_rate_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
