"""Convolution arithmetic: how large, how padded, how far it sees, what it costs. Pure Python, one axis at a time.

Letters: n pixels in, kernel of k taps, stride s, dilation d, p zeros. A dilated kernel spans d * (k - 1) + 1 pixels.

Sources: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016; Araujo, Norris & Sim,
"Computing receptive fields of convolutional neural networks", Distill, 2019 (doi:10.23915/distill.00021).
"""

from math import prod
from typing import NamedTuple

from course_cnn import _checks

PADDING_WORDS = ("valid", "same", "full", "causal")


class ReceptiveField(NamedTuple):
    """What one unit sees along one axis, in input pixels.

    size: width of the patch; jump: distance between the patches of neighbouring units; start: centre of the first
    unit's patch, where pixel 0 has its centre at 0.
    """

    size: int
    jump: int
    start: float


class Window(NamedTuple):
    """One axis of a convolution or pooling, everything resolved; all in pixels. Made by `window`."""

    size: int  # input extent
    taps: int
    stride: int
    dilation: int
    before: int  # zeros added in front
    after: int  # zeros added behind
    out: int  # positions

    @property
    def span(self):
        return self.dilation * (self.taps - 1) + 1


def window(size, kernel_size, *, stride=1, padding=0, dilation=1, function="window"):
    """Resolve one axis: how many zeros on each side and how many positions.

    `output_size` and `pad_amounts` read their answers from it. Arguments as there; `function` is the name that an
    error message starts with.

    Returns:
        Window(size, taps, stride, dilation, before, after, out).

    Example:
        >>> window(6, 3, stride=2, padding="same")
        Window(size=6, taps=3, stride=2, dilation=1, before=0, after=1, out=3)
    """
    size = _checks.integer(function, "size", size, minimum=1)
    taps = _checks.integer(function, "kernel_size", kernel_size, minimum=1)
    stride = _checks.integer(function, "stride", stride, minimum=1)
    dilation = _checks.integer(function, "dilation", dilation, minimum=1)
    span = dilation * (taps - 1) + 1

    match _padding(function, padding):
        case "valid":
            before = after = 0
        case "same":  # TensorFlow's: as few zeros as give ceil(size / stride) positions, the odd one behind
            total = max((-(-size // stride) - 1) * stride + span - size, 0)
            before, after = total // 2, total - total // 2
        case "full":  # every position where kernel and input share a pixel
            before = after = span - 1
        case "causal":  # output t sees inputs up to t and none later
            before, after = span - 1, 0
        case before, after:
            pass

    padded = before + size + after
    if padded < span:
        raise _checks.argument_error(
            function,
            f"the kernel spans {span} pixels but the padded input has {padded}",
            f"Use padding >= {-((size - span) // 2)} or kernel_size <= {(padded - 1) // dilation + 1}",
            size=size, kernel_size=taps, padding=padding, dilation=dilation,
        )  # fmt: skip
    return Window(size, taps, stride, dilation, before, after, (padded - span) // stride + 1)


def windows(sizes, kernel_sizes, *, stride=1, padding=0, dilation=1, function="windows"):
    """Resolve every axis of an image or sequence: a list with one `Window` per axis.

    Args:
        sizes: sequence of int, input extents in pixels, such as (h, w).
        kernel_sizes: sequence of int of the same length, such as (kh, kw).
        stride, dilation: int for all axes, or one int per axis.
        padding: as in `output_size`, the same on every axis; or one such (before, after) pair per axis, such as
            ((top, bottom), (left, right)).
        function: str, the name that an error message starts with.

    Example:
        >>> [axis.out for axis in windows((28, 20), (5, 3), padding=((2, 2), (0, 0)))]
        [28, 18]
    """
    axes = len(sizes)
    per_axis = isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding)
    if per_axis and len(padding) != axes:
        raise _checks.argument_error(
            function, f"`padding` must give one (before, after) pair per axis, {axes} in all",
            f"Use for example padding={((1, 1),) * axes}", padding=padding,
        )  # fmt: skip
    strides = per_axis_ints(function, "stride", stride, axes)
    dilations = per_axis_ints(function, "dilation", dilation, axes)
    paddings = padding if per_axis else [padding] * axes
    return [
        window(size, kernel_size, stride=stride, padding=pad, dilation=dilation, function=function)
        for size, kernel_size, stride, pad, dilation in zip(
            sizes, kernel_sizes, strides, paddings, dilations, strict=True
        )
    ]


def pool_windows(sizes, pool_size=2, *, stride=None, padding=0, function="pool_windows"):
    """Resolve every axis of a pooling layer: a list with one `Window` per axis.

    Args:
        sizes: sequence of int, input extents in pixels, such as (h, w).
        pool_size: int >= 1, or one per axis.
        stride: int >= 1, or one per axis; None for windows that touch but do not overlap.
        padding: as in `windows`, but never as wide as the window: a window of padding alone has nothing to pool.
        function: str, the name that an error message starts with.

    Example:
        >>> [axis.out for axis in pool_windows((55, 55), 3, stride=2)]      # AlexNet's overlapping pooling
        [27, 27]
    """
    pool_size = per_axis_ints(function, "pool_size", pool_size, len(sizes))
    stride = pool_size if stride is None else stride
    axes = windows(sizes, pool_size, stride=stride, padding=padding, function=function)
    for axis in axes:
        if max(axis.before, axis.after) >= axis.taps:
            raise _checks.argument_error(
                function, "a window must hold at least one real pixel", f"Use padding <= {axis.taps - 1}",
                padding=padding, pool_size=axis.taps,
            )  # fmt: skip
    return axes


def output_size(size, kernel_size, *, stride=1, padding=0, dilation=1):
    """Count the positions a kernel can take along one axis.

    Args:
        size: int >= 1, input extent along this axis, in pixels.
        kernel_size: int >= 1, kernel taps along this axis (11 for AlexNet's first layer).
        stride: int >= 1, pixels between neighbouring positions.
        padding: int >= 0, zeros added to EACH end; a (before, after) pair; or a word:
            `"valid"` no zeros, every tap on a real pixel;
            `"same"` as few zeros as give ceil(size / stride) positions;
            `"full"` every position where kernel and input share at least one pixel;
            `"causal"` all zeros in front, so that output t sees nothing later than input t.
        dilation: int >= 1, pixels between neighbouring taps; the kernel spans dilation * (kernel_size - 1) + 1.

    Returns:
        int, output extent in pixels: floor((size + before + after - span) / stride) + 1.

    Raises:
        ValueError: the kernel spans more pixels than the padded input has, or an argument is out of its range.

    Example:
        >>> output_size(227, 11, stride=4)      # AlexNet conv1
        55
        >>> [output_size(7, 3, padding=word) for word in ("full", "same", "valid")]
        [9, 7, 5]

    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, relationships 6 and 15.
    """
    return window(size, kernel_size, stride=stride, padding=padding, dilation=dilation, function="output_size").out


def pad_amounts(size, kernel_size, *, stride=1, padding=0, dilation=1):
    """Count the zeros a padding adds before and after the input, along one axis.

    Args: as for `output_size`.

    Returns:
        (before, after), ints, in pixels. For "same" these are TensorFlow's: an odd total puts the extra zero AFTER
        (bottom or right), and with stride > 1 there can be fewer zeros than on a stride of 1.

    Raises:
        ValueError: as for `output_size`.

    Example:
        >>> pad_amounts(6, 3, padding="same")
        (1, 1)
        >>> pad_amounts(6, 3, stride=2, padding="same")      # not symmetric: PyTorch users expect (1, 1)
        (0, 1)

    Source: TensorFlow API guide, `tf.nn`, "Notes on padding".
    """
    axis = window(size, kernel_size, stride=stride, padding=padding, dilation=dilation, function="pad_amounts")
    return axis.before, axis.after


def receptive_field(windows):
    """Follow a stack of layers along one axis and say what one unit of the last layer sees of the input.

    Each layer widens the view by (span - 1) * jump and multiplies the jump by its stride.

    Args:
        windows: sequence of (kernel_size, stride, dilation) triples, first layer first. Pooling layers count too.
            A fourth entry gives the zeros added in front (default 0); it moves `start` and nothing else.

    Returns:
        ReceptiveField(size, jump, start), in input pixels. `size` is what a unit far from the border sees. An empty
        stack sees one pixel.

    Raises:
        ValueError: an entry is not a triple of ints >= 1.

    Example:
        >>> receptive_field([(3, 1, 1)] * 5).size            # five 3x3 layers
        11
        >>> receptive_field([(5, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1)])          # LeNet-5 up to S4
        ReceptiveField(size=16, jump=4, start=7.5)

    Source: Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill, 2019.
    """
    size, jump, start = 1, 1, 0.0
    for number, layer in enumerate(windows):
        if not isinstance(layer, (tuple, list)) or len(layer) not in (3, 4):
            raise _checks.argument_error(
                "receptive_field", "`windows` must hold (kernel_size, stride, dilation) triples",
                f"Write layer {number} as, for example, (3, 1, 1)", **{f"windows[{number}]": layer},
            )  # fmt: skip
        names = (("kernel_size", 1), ("stride", 1), ("dilation", 1), ("padding", 0))
        taps, stride, dilation, before = (
            _checks.integer("receptive_field", f"windows[{number}] {name}", value, minimum=minimum)
            for (name, minimum), value in zip(names, (*layer, 0)[:4], strict=True)
        )
        reach = dilation * (taps - 1)
        size += reach * jump
        start += (reach / 2 - before) * jump
        jump *= stride
    return ReceptiveField(size, jump, start)


def conv_params(kernel_size, in_channels, filters, *, use_bias=True, groups=1):
    """Count the numbers a convolution layer learns. They do not depend on the size of the image.

    Args:
        kernel_size: int for a square 2-D kernel, or a tuple with one int per axis: (5,) in 1-D, (3, 5) in 2-D.
        in_channels: int >= 1, channels of the input.
        filters: int >= 1, channels of the output.
        use_bias: bool, one more number per filter.
        groups: int >= 1, separate bundles of channels; each filter sees in_channels / groups of them. As many groups
            as channels make a depthwise convolution.

    Returns:
        int, kh * kw * (in_channels / groups) * filters, plus `filters` for the bias.

    Raises:
        ValueError: an argument is out of its range, or `groups` does not divide both channel counts.

    Example:
        >>> conv_params(3, 3, 10)                            # ten 3x3 filters on RGB
        280
        >>> conv_params((11, 11), 3, 96, use_bias=False)     # AlexNet conv1
        34848

    Source: Krizhevsky et al., "ImageNet classification with deep CNNs", 2012, section 3.5 (kernel sizes).
    """
    taps, in_channels, filters = _layer("conv_params", kernel_size, in_channels, filters, groups)
    return prod(taps) * (in_channels // groups) * filters + filters * bool(use_bias)


def conv_macs(size, kernel_size, in_channels, filters, *, stride=1, padding=0, dilation=1, groups=1):
    """Count the multiply-adds of a convolution on one image, zeros at the border counted like pixels, bias left out.

    Args:
        size: int for a square INPUT, or a tuple with one int per axis: (n,) in 1-D, (h, w) in 2-D; pixels.
        kernel_size, in_channels, filters, groups: as for `conv_params`.
        stride, padding, dilation: as for `output_size`; stride and dilation may also be one int per axis.

    Returns:
        int, MACs: output positions * filters * taps * (in_channels / groups). 1 MAC = 2 FLOPs.

    Raises:
        ValueError: the kernel does not fit, or an argument is out of its range.

    Example:
        >>> conv_macs(28, 5, 1, 6, padding=2)      # LeNet-5, C1 on a 28-pixel digit
        117600
        >>> conv_macs(227, 11, 3, 96, stride=4)    # AlexNet conv1
        105415200

    Source: Sze et al., "Efficient processing of deep neural networks", Proc. IEEE 2017, section III (counting MACs).
    """
    taps, in_channels, filters = _layer("conv_macs", kernel_size, in_channels, filters, groups)
    sizes = size if isinstance(size, (tuple, list)) else (size,) * len(taps)
    if len(sizes) != len(taps):
        raise _checks.argument_error(
            "conv_macs", "`size` and `kernel_size` must have the same number of axes",
            f"Give {len(taps)} sizes, or one int for a square input", size=size, kernel_size=kernel_size,
        )  # fmt: skip
    axes = windows(sizes, taps, stride=stride, padding=padding, dilation=dilation, function="conv_macs")
    return prod(axis.out for axis in axes) * prod(taps) * (in_channels // groups) * filters


def per_axis_ints(function, name, value, axes, *, minimum=1):
    """Return `value` as a tuple of `axes` ints: an int is repeated, a sequence must have the right length.

    Example:
        >>> per_axis_ints("conv2d", "stride", 2, 2)
        (2, 2)
    """
    values = value if isinstance(value, (tuple, list)) else (value,) * axes
    if len(values) != axes:
        raise _checks.argument_error(
            function, f"`{name}` must be one integer, or one per axis ({axes})",
            f"Use for example {name}={(1,) * axes}", **{name: value},
        )  # fmt: skip
    return tuple(_checks.integer(function, name, number, minimum=minimum) for number in values)


def _padding(function, padding):
    """Return a padding word in lower case, or a (before, after) pair of ints."""
    if isinstance(padding, str):
        return _checks.choice(function, "padding", padding.lower(), PADDING_WORDS)
    if isinstance(padding, (tuple, list)):
        if len(padding) != 2:
            raise _checks.argument_error(
                function, "`padding` must be an integer >= 0, a (before, after) pair or a word",
                f"Use padding=(1, 1) or one of {', '.join(map(repr, PADDING_WORDS))}", padding=padding,
            )  # fmt: skip
        return tuple(_checks.integer(function, "padding", amount, minimum=0) for amount in padding)
    amount = _checks.integer(function, "padding", padding, minimum=0)
    return amount, amount


def _layer(function, kernel_size, in_channels, filters, groups):
    """Check the arguments that `conv_params` and `conv_macs` share; return taps per axis, channels in and out."""
    axes = len(kernel_size) if isinstance(kernel_size, (tuple, list)) else 2
    taps = per_axis_ints(function, "kernel_size", kernel_size, axes)
    in_channels = _checks.integer(function, "in_channels", in_channels, minimum=1)
    filters = _checks.integer(function, "filters", filters, minimum=1)
    groups = _checks.integer(function, "groups", groups, minimum=1)
    if in_channels % groups or filters % groups:
        raise _checks.argument_error(
            function, "`groups` must divide `in_channels` and `filters`", "Use groups=1",
            groups=groups, in_channels=in_channels, filters=filters,
        )  # fmt: skip
    return taps, in_channels, filters
