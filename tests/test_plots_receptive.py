"""Pictures of receptive fields: the units, lines, frames and words they show, against a walk over the taps."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from drawn import boxes
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection

from course_cnn import plots, shapes


def units(ax, label, level=None):
    """Places of the units drawn under a label, on one level or on all."""
    lines = [line for line in ax.lines if line.get_label() == label]
    points = [(x, y) for line in lines for x, y in zip(*line.get_data(), strict=True)]
    return sorted(x for x, y in points if level in (None, y))


def segments(ax):
    return [segment for c in ax.collections if isinstance(c, LineCollection) for segment in c.get_segments()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


# --- pyramid ----------------------------------------------------------------------------------------------------------

LAYERS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.sampled_from([0, 1, "valid", "same"])),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(layers=LAYERS, extra=st.integers(0, 4), pick=st.floats(0, 0.99))
def test_pyramid_shows_the_pixels_a_gradient_reaches(layers, extra, pick):
    size = shapes.receptive_field([layer[:3] for layer in layers]).size + extra
    x, counts = tf.Variable(tf.ones((1, size, 1, 1), tf.float64)), [size]
    with tf.GradientTape() as tape:
        y = x
        for taps, stride, dilation, padding in layers:
            before, after = shapes.pad_amounts(y.shape[1], taps, stride=stride, padding=padding, dilation=dilation)
            y = tf.pad(y, [(0, 0), (before, after), (0, 0), (0, 0)])
            y = tf.nn.convolution(y, tf.ones((taps, 1, 1, 1), tf.float64), dilations=[dilation, 1])[:, ::stride]
            counts.append(y.shape[1])
        unit = int(pick * y.shape[1])
        top = y[0, unit, 0, 0]
    reached = np.flatnonzero(tape.gradient(top, x)[0, :, 0, 0]).tolist()

    ax = plots.plot_pyramid(layers, size=size, unit=unit)
    assert units(ax, "_seen", level=0) == reached
    assert units(ax, "_other", level=0) == sorted(set(range(size)) - set(reached))
    holes = sorted(set(range(min(reached, default=0), max(reached, default=0))) - set(reached))
    assert units(ax, "_hidden") == holes
    for level, count in enumerate(counts):
        assert len(units(ax, "_seen", level)) + len(units(ax, "_other", level)) == count
    whole = shapes.receptive_field([layer[:3] for layer in layers]).size
    number = f"{len(reached)} of the {whole} pixels" if len(reached) < whole else f"{len(reached)} pixel"
    assert f"one unit sees {number}" in ax.get_title()
    plt.close("all")


def test_pyramid_draws_one_line_per_tap():
    ax = plots.plot_pyramid([(3, 1, 1), (3, 1, 1)], size=9, unit=2)
    assert units(ax, "_seen", 2) == [4]  # above the centre of its field
    assert units(ax, "_seen", 1) == [3, 4, 5]
    assert units(ax, "_seen", 0) == [2, 3, 4, 5, 6]
    assert len(segments(ax)) == 3 + 3 * 3
    assert legend(ax) == []  # nothing but units that are seen: the title says it
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["input", "1: 3 taps", "2: 3 taps"]


def test_pyramid_places_units_at_their_centres():
    ax = plots.plot_pyramid([(2, 2, 1), (3, 2, 1)], names=["pool", "convolution"])
    field = shapes.receptive_field([(2, 2, 1), (3, 2, 1)])
    top = units(ax, "_seen", 2) + units(ax, "_other", 2)
    assert sorted(top) == [field.start + field.jump * i for i in range(3)]  # three units by default, the middle one up
    assert units(ax, "_seen", 2) == [field.start + field.jump]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["input", "pool", "convolution"]


def test_pyramid_shows_zeros_and_holes():
    ax = plots.plot_pyramid([(3, 1, 1, "same"), (3, 1, 1, "same")], size=7, unit=0)
    assert units(ax, "_zero", 0) == units(ax, "_zero", 1) == [-1]
    assert sum(np.isclose(segment[1], [-1, 0]).all() for segment in segments(ax)) == 1
    (collection, _) = (c for c in ax.collections if isinstance(c, LineCollection))
    dashes = [style[1] for style in collection.get_linestyles()]
    assert sum(dash is not None for dash in dashes) == 1  # the line to the zero is dotted
    assert legend(ax) == ["seen by the top unit", "added zero"]
    assert ax.get_xlim()[0] < -1

    ax = plots.plot_pyramid([(3, 1, 2), (3, 1, 2)], size=9)
    assert units(ax, "_hidden") == [1, 3, 5, 7]
    assert legend(ax) == ["seen by the top unit", "pixel left out"]
    assert units(plots.plot_pyramid([(3, 1, 1), (3, 1, 2)], size=7), "_hidden") == []  # skipped, but not left out


def test_pyramid_counts_what_lies_outside():
    ax = plots.plot_pyramid([(2, 1, 1), (3, 1, 1, 1)], size=9, unit=0)  # an even field: 4 pixels from -1 on
    assert ax.get_title() == "one unit sees 3 of the 4 pixels of its field, 1 outside the image"
    assert units(plots.plot_pyramid([(3, 1, 1)], size=6), "_seen", 1) == [2]  # of four units the second


def test_pyramid_of_nothing_but_zeros():
    ax = plots.plot_pyramid([(2, 1, 1, (3, 0))], size=2, unit=0)
    assert units(ax, "_seen", 0) == []
    assert ax.get_title() == "one unit sees 0 of the 2 pixels of its field, 2 outside the image"


def test_pyramid_on_given_axes():
    given = plt.subplots()[1]
    assert plots.plot_pyramid([(3, 1, 1)], ax=given, title="mine") is given
    assert given.get_title() == "mine"
    assert given.get_xlabel() == "place (pixels of the input)"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_pyramid([]), r"at least one layer. Use for example \[\(3, 1, 1\)\]"),
        (lambda: plots.plot_pyramid([(3, 1, 1), 3]), r"triples \(layers\[1\]=3\). Write layer 1 as"),
        (lambda: plots.plot_pyramid([(3, 0, 1)]), r"stride` must be an integer >= 1"),
        (lambda: plots.plot_pyramid([(3, 1, 1)] * 3, size=6), "plot_pyramid: the kernel spans 3 pixels"),
        (lambda: plots.plot_pyramid([(3, 1, 1)], size=5, unit=3), "top layer has 3 units .* Use at most unit=2"),
        (lambda: plots.plot_pyramid([(3, 1, 1)], unit=-1), "`unit` must be an integer >= 0"),
        (lambda: plots.plot_pyramid([(3, 1, 1)], names=["a", "b"]), "`names` must hold one text per layer"),
        (lambda: plots.plot_pyramid([(3, 1, 1)], ax=3), "`ax` must be one matplotlib Axes"),
    ],
)
def test_pyramid_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_pyramid_remedy_works():
    assert plots.plot_pyramid([(3, 1, 1)], size=5, unit=2).get_title() == "one unit sees 3 pixels"


# --- on a photograph --------------------------------------------------------------------------------------------------

IMAGE = np.random.default_rng(0).random((30, 40))


def test_receptive_field_frames_what_a_unit_sees():
    layers = [(5, 1, 1), (2, 2, 1), (3, 1, 1, 1)]
    fields = {"first": shapes.receptive_field(layers[:1]), "third": shapes.receptive_field(layers)}
    axes = plots.plot_receptive_field(IMAGE, fields, at=(12, 20), title="two layers")
    assert [ax.get_title() for ax in axes] == ["30×40 pixels", "first\n5×5 pixels", "third\n10×10 pixels"]
    assert axes[0].figure.get_suptitle() == "two layers"
    first, third = boxes(axes[0])
    assert first == (10, 18, 15, 23)  # the unit whose centre is (12, 20) itself
    unit = (4, 5, 6)  # third: jump 2, start 2.5 - 0: centres 2.5 + 2 i
    field = fields["third"]
    rows = [field.start + field.jump * i - (field.size - 1) / 2 for i in unit]
    assert third[0] in rows
    assert third[2] - third[0] == third[3] - third[1] == 10
    assert abs((third[0] + third[2] - 1) / 2 - 12) <= field.jump / 2  # no other unit's centre is nearer
    assert len({(p.get_edgecolor(), p.get_linestyle()) for p in axes[0].patches}) == 2
    for ax, box in zip(axes[1:], (first, third), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), IMAGE)
        assert ax.get_xlim() == (box[1] - 0.5, box[3] - 0.5)
        assert ax.get_ylim() == (box[2] - 0.5, box[0] - 0.5)


def test_receptive_field_box_holds_the_pixels_a_gradient_reaches():
    x = tf.Variable(tf.zeros((1, 30, 40, 1)))
    with tf.GradientTape() as tape:
        y = tf.nn.conv2d(x, tf.ones((5, 5, 1, 1)), 1, "VALID")
        y = tf.nn.avg_pool2d(y, 2, 2, "VALID")
        y = tf.nn.conv2d(y, tf.ones((3, 3, 1, 1)), 1, "SAME")
        top = y[0, 5, 9, 0]
    rows, cols = np.nonzero(tape.gradient(top, x)[0, :, :, 0])
    field = shapes.receptive_field([(5, 1, 1), (2, 2, 1), (3, 1, 1, 1)])
    centre = [round(field.start + field.jump * i) for i in (5, 9)]
    (box,) = boxes(plots.plot_receptive_field(IMAGE, {"third": field}, at=centre)[0])
    assert box == (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)


def test_receptive_field_beyond_the_border_is_hatched():
    field = shapes.receptive_field([(3, 1, 1, 1)] * 4)
    axes = plots.plot_receptive_field(np.zeros((9, 9, 3), np.uint8), {"fourth": field}, at=(0, 8))
    assert boxes(axes[0]) == [(-4, 4, 5, 13)]
    (patch,) = axes[1].patches
    assert patch.get_hatch()
    assert patch.get_width() == 9
    assert axes[1].images[0].get_array().shape == (9, 9, 3)
    assert axes[0].get_xlim() == (-0.5, 8.5)  # the picture itself is not widened
    assert all(patch.get_clip_on() for patch in axes[0].patches)
    field = shapes.receptive_field([(5, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1)])
    assert boxes(plots.plot_receptive_field(IMAGE, {"S4": field}, at=(0, 0))[0]) == [(0, 0, 16, 16)]  # the first unit


def test_receptive_field_defaults_to_the_middle_and_takes_a_pair():
    rows, cols = shapes.receptive_field([(3, 1, 1, 1)]), shapes.receptive_field([(7, 1, 1, 3)])
    axes = plots.plot_receptive_field(IMAGE, {"flat": (rows, cols)})
    assert boxes(axes[0]) == [(14, 17, 17, 24)]
    assert axes[1].get_title() == "flat\n3×7 pixels"


def test_receptive_field_wraps_and_takes_axes():
    fields = {str(n): shapes.receptive_field([(3, 1, 1)] * n) for n in range(1, 6)}
    axes = plots.plot_receptive_field(IMAGE, fields)
    assert len(axes) == len(axes[0].figure.axes) == 6  # the two empty places of the 2 by 4 grid are gone
    given = plt.subplots(2, 3)[1]
    assert list(plots.plot_receptive_field(IMAGE, fields, axes=given)) == list(given.ravel())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_receptive_field(IMAGE, (3, 1, 1.0)), r"dict from a layer's name .*type\(fields\)='tuple'"),
        (lambda: plots.plot_receptive_field(IMAGE, {}), "must be a dict"),
        (lambda: plots.plot_receptive_field(IMAGE, {"a": (3, 1)}), r"a field must be \(size, jump, start\)"),
        (lambda: plots.plot_receptive_field(IMAGE, {"a": (3, 1, 1)}, at=(30, 0)), r"Use at most at=\(29, 39\)"),
        (lambda: plots.plot_receptive_field(IMAGE[None, None], {"a": (3, 1, 1)}), "must have 2 axes"),
        (lambda: plots.plot_receptive_field(IMAGE, {"a": (3, 1, 1)}, axes=plt.subplots()[1]), "must hold 2 matplotlib"),
    ],
)
def test_receptive_field_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- gradients --------------------------------------------------------------------------------------------------------


def test_gradient_field_is_a_share_of_its_largest():
    field = np.pad(np.outer([1, 4, 10, 4, 1], [1, 4, 20, 4, 1]), 2)
    ax = plots.plot_gradient_field(field, box=(2, 2, 7, 7))
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown[2:7, 2:7], field[2:7, 2:7] / 200)
    assert np.ma.getmaskarray(np.ma.masked_invalid(shown))[:2].all()  # no gradient: white
    assert ax.images[0].get_clim() == (0, 1)
    assert boxes(ax) == [(2, 2, 7, 7)]
    assert ax.get_title() == "not zero in 5×5 pixels,\nhalf of it in the middle 3×3"
    assert ax.figure.axes[-1].get_ylabel() == "share of the largest gradient"


def test_gradient_field_in_powers_of_ten():
    ax = plots.plot_gradient_field([[0, 2, 0.02], [0, 20, 0.002]], log=True)
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(np.ma.filled(np.ma.masked_invalid(shown), 9), [[9, -1, -3], [9, 0, -4]])
    assert ax.images[0].get_clim() == (-4, 0)
    assert ax.get_title() == "not zero in 2×2 pixels,\nhalf of it in the middle 2×2"
    assert boxes(ax) == []


@settings(max_examples=20, deadline=None)
@given(h=st.integers(1, 7), w=st.integers(1, 7), ring=st.integers(0, 2), seed=st.integers(0, 99))
def test_gradient_field_half_is_the_smallest_middle_square(h, w, ring, seed):
    inside = np.random.default_rng(seed).random((h, w)) + 0.01
    text = plots.plot_gradient_field(np.pad(inside, ring)).get_title()
    cuts = [cut for cut in range((min(h, w) + 1) // 2)
            if inside[cut : h - cut, cut : w - cut].sum() >= inside.sum() / 2]  # fmt: skip
    a, b = h - 2 * max(cuts), w - 2 * max(cuts)
    assert text == f"not zero in {h}×{w} pixels,\nhalf of it in the middle {a}×{b}"
    plt.close("all")


def test_gradient_field_of_a_dead_unit():
    ax = plots.plot_gradient_field(np.zeros((4, 4)), log=True)
    assert ax.get_title() == "no gradient at all"


@pytest.mark.parametrize(
    "field, message",
    [
        ([[-1.0, 2.0]], r"`field` must not be negative \(smallest=-1.0\). Use np.abs\(gradient\)"),
        ([[np.nan, 2.0]], "must hold finite numbers"),
        (np.zeros((2, 2, 2)), r"`field` must have 2 axes \(h, w\)"),
    ],
)
def test_gradient_field_errors(field, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_gradient_field(field)
    if np.ndim(field) == 2 and np.isfinite(field).all():
        plots.plot_gradient_field(np.abs(field))


# --- growth -----------------------------------------------------------------------------------------------------------


def test_growth_draws_the_size_after_every_layer():
    stacks = {"stride 1": [(3, 1, 1)] * 5, "stride 2": [(3, 2, 1)] * 8, "pools": [(3, 1, 1), (2, 2, 1)] * 2}
    ax = plots.plot_growth(stacks, size=500, log=True)
    curves = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(curves["stride 1"], [1, 3, 5, 7, 9, 11])
    np.testing.assert_array_equal(curves["stride 2"], [1, 3, 7, 15, 31, 63, 127, 255, 511])
    np.testing.assert_array_equal(curves["pools"], [1, 3, 4, 8, 10])
    np.testing.assert_array_equal(curves["500 pixels"], [500, 500])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), range(6))
    assert ax.get_title() == '"stride 2" covers 500 pixels after 8 layers'
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "receptive field (pixels)"
    assert len({line.get_linestyle() for line in ax.lines[:3]}) == 3  # not by colour alone


def test_growth_titles():
    assert plots.plot_growth({"a": [(3, 1, 1)] * 2}, size=28).get_title() == "no stack covers 28 pixels"
    ax = plots.plot_growth({"a": [(3, 1, 1)] * 2, "b": [(5, 1, 1)] * 2})
    assert ax.get_title() == '"b" ends widest: 9 pixels'
    assert ax.get_yscale() == "linear"
    assert plots.plot_growth({"a": [(3, 1, 1)]}, ax=ax, title="mine").get_title() == "mine"
    assert plots.plot_growth({"a": [(3, 1, 1)], "b": [(3, 1, 1)]}, size=3).get_title().startswith('"a" covers 3')


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.plot_growth({}), "`stacks` must be a dict"),
        (lambda: plots.plot_growth([(3, 1, 1)]), r"type\(stacks\)='list'"),
        (lambda: plots.plot_growth({"a": [3]}), "triples"),
        (lambda: plots.plot_growth({"a": [(3, 1, 1)]}, size=0), "`size` must be a number > 0"),
    ],
)
def test_growth_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
