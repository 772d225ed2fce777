"""Pictures of whole networks: what stands where, and that labels can be read."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn.plots import plot_costs, plot_inception
from course_cnn.plots.architecture import LARGEST

NETWORKS = ["AlexNet", "GoogLeNet", "VGG-16", "VGG-19", "ResNet-50", "ResNet-101", "ResNet-152"]
MACS = np.array([0.72, 1.58, 15.47, 19.63, 3.87, 7.59, 11.3]) * 1e9
PARAMS = np.array([61, 7, 138.4, 143.7, 25.6, 44.7, 60.4]) * 1e6
TOP1 = [57.1, 68.7, 71.3, 71.3, 74.9, 76.4, 76.6]


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def boxes(ax):
    """Boxes of the labels in pixels, as the figure is drawn."""
    ax.figure.canvas.draw()
    return [text.get_window_extent() for text in ax.texts]


def bubbles(ax):
    """Middles and radii of the bubbles, in pixels."""
    scatter = ax.collections[0]
    return ax.transData.transform(scatter.get_offsets()), np.sqrt(scatter.get_sizes() / np.pi) * ax.figure.dpi / 72


def assert_readable(ax):
    """No label on another, on any bubble, or outside the axes."""
    labels, frame = boxes(ax), ax.get_window_extent()
    for i, box in enumerate(labels):
        assert not any(box.overlaps(other) for other in labels[:i]), ax.texts[i].get_text()
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
        for (x, y), radius in zip(*bubbles(ax), strict=True):
            nearest = np.clip(x, box.x0, box.x1) - x, np.clip(y, box.y0, box.y1) - y
            assert np.hypot(*nearest) >= radius, ax.texts[i].get_text()


def test_costs_stand_where_the_numbers_say():
    ax = plot_costs(NETWORKS, MACS, PARAMS, TOP1)
    scatter = ax.collections[0]
    np.testing.assert_allclose(scatter.get_offsets(), np.column_stack([MACS / 1e9, TOP1]))
    np.testing.assert_allclose(scatter.get_sizes(), LARGEST * PARAMS / PARAMS.max())
    assert [text.get_text() for text in ax.texts][:3] == ["AlexNet, 61 M", "GoogLeNet, 7 M", "VGG-16, 138 M"]
    assert ax.get_xlim()[0] == 0
    assert not scatter.get_clip_on()  # AlexNet's bubble reaches past the axis
    assert ax.get_title() == "area = parameters; best: ResNet-152"
    assert "billions" in ax.get_xlabel()
    assert ax.get_ylabel() == "top-1 accuracy (%)"


def test_labels_of_the_lecture_can_be_read():
    assert_readable(plot_costs(NETWORKS, MACS, PARAMS, TOP1))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 6))
def test_labels_of_drawn_networks_can_be_read(seed, n):
    """Bubbles may meet; labels keep clear of the others' text."""
    rng = np.random.default_rng(seed)
    names = [f"network {i}" for i in range(n)]
    ax = plot_costs(names, rng.uniform(1e9, 2e10, n), rng.uniform(1e6, 1e8, n), rng.uniform(50, 80, n))
    labels = boxes(ax)
    assert not any(a.overlaps(b) for i, a in enumerate(labels) for b in labels[:i])
    plt.close(ax.figure)


def test_crowded_labels_move_away():
    """Five networks in one spot: the labels still do not cover each other."""
    ax = plot_costs(list("abcde"), np.linspace(5e9, 5.1e9, 5), [1e7] * 5, np.linspace(70, 70.1, 5))
    labels = boxes(ax)
    assert not any(a.overlaps(b) for i, a in enumerate(labels) for b in labels[:i])


def test_costs_on_given_axes_with_own_words():
    _, given = plt.subplots()
    ax = plot_costs(["a"], [1e9], [650_000], [3], ylabel="top-5 error (%)", ax=given, title="small")
    assert ax is given
    assert (ax.get_title(), ax.get_ylabel(), ax.texts[0].get_text()) == ("small", "top-5 error (%)", "a, 0.65 M")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((["a"], [1e9, 1e9], [1, 1], [1, 1]), "`names` must hold one text per network"),
        ((["a", "b"], [1e9], [1, 1], [1, 1]), "`macs` must hold 2 finite numbers > 0"),
        ((["a", "b"], [1e9, 1e9], [1, 0], [1, 1]), "`params` must hold 2 finite numbers > 0"),
        ((["a", "b"], [1e9, np.nan], [1, 1], [1, 1]), "`macs` must hold 2 finite numbers > 0"),
        ((["a"], [1e9], [1], "x"), "`scores` must be an array of numbers"),
    ],
)
def test_wrong_costs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"plot_costs: {message}"):
        plot_costs(*arguments)


def test_inception_names_every_branch():
    ax = plot_inception((64, 96, 128, 16, 32, 32), 192)
    texts = [text.get_text() for text in ax.texts if text.get_text()]
    assert texts == [
        "input: 192 channels", "output: 256 channels", "1×1: 192 → 64\n12,288 weights",
        "1×1: 192 → 96\n18,432 weights", "3×3: 96 → 128\n110,592 weights", "1×1: 192 → 16\n3,072 weights",
        "5×5: 16 → 32\n12,800 weights", "3×3 max pooling\n192 channels", "1×1: 192 → 32\n6,144 weights",
    ]  # fmt: skip
    assert sum(int(text.split("\n")[1].split()[0].replace(",", "")) for text in texts if "weights" in text) == 163_328
    assert ax.get_title() == "192 channels in, 64 + 128 + 32 + 32 = 256 out"
    ax.figure.canvas.draw()
    extents = [text.get_window_extent() for text in ax.texts if text.get_text()]
    for patch, extent in zip(ax.patches, extents, strict=True):
        frame = patch.get_window_extent()
        assert frame.x0 <= extent.x0 <= extent.x1 <= frame.x1


@pytest.mark.parametrize(
    "filters, channels, message",
    [
        ((1, 2, 3), 4, r"one per axis \(6\)"),
        ((1, 2, 3, 4, 5, 0), 4, "`filters` must be an integer >= 1"),
        ((1, 2, 3, 4, 5, 6), 0, "`channels` must be an integer >= 1"),
    ],
)
def test_wrong_inception_is_refused(filters, channels, message):
    with pytest.raises(ValueError, match=f"plot_inception: .*{message}"):
        plot_inception(filters, channels)
