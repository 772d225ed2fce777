"""What every builder of the zoo asks of its arguments. Pure Python."""

from course_cnn import _checks, shapes


def scaled(filters, width, *, multiple=1):
    """Multiply a number of filters by the width multiplier, rounded to a multiple of `multiple`, at least that.

    Example:
        >>> scaled(96, 0.25), scaled(3, 0.1), scaled(96, 0.26, multiple=2)
        (24, 1, 24)
    """
    return max(1, round(filters * width / multiple)) * multiple


def image_shape(function, input_shape, layers=()):
    """Return `input_shape` as (h, w, c) ints, or raise if a layer would be left without a single pixel.

    Args:
        function: str, the builder the caller typed.
        input_shape: (h, w, c), pixels and channels.
        layers: sequence of (name, kernel_size, stride, padding), the longest way through the network from the image to
            the last layer with a size of its own, first layer first. `padding` as for `shapes.output_size`.

    Raises:
        ValueError: not three integers >= 1; or the image is too small: the message names the layer that runs out and
            the smallest size that works.

    Example:
        >>> image_shape("build_tiny", (32, 24, 3), [("conv1", 5, 1, 0), ("pool1", 2, 2, 0)])
        (32, 24, 3)
        >>> image_shape("build_tiny", (5, 24, 3), [("conv1", 5, 1, 0), ("pool1", 2, 2, 0)])
        Traceback (most recent call last):
        ValueError: build_tiny: nothing is left of the image at pool1: images must be at least 6 x 6 pixels
        (input_shape=(5, 24, 3)). Resize them, or use input_shape=(6, 24, 3).
    """
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise _checks.argument_error(
            function, "`input_shape` must be (height, width, channels), without the batch axis",
            "Use for example input_shape=(224, 224, 3)", input_shape=input_shape,
        )  # fmt: skip
    shape = shapes.per_axis_ints(function, "input_shape", input_shape, 3)
    name = _runs_out(min(shape[:2]), layers)
    if name is not None:
        smallest = next(size for size in range(1, 10_000) if _runs_out(size, layers) is None)
        raise _checks.argument_error(
            function, f"nothing is left of the image at {name}: images must be at least {smallest} x {smallest} pixels",
            f"Resize them, or use input_shape={(max(shape[0], smallest), max(shape[1], smallest), shape[2])}",
            input_shape=shape,
        )  # fmt: skip
    return shape


def _runs_out(size, layers):
    """Name the first layer whose kernel does not fit on its padded input; None if all fit."""
    for name, kernel_size, stride, padding in layers:
        try:
            size = shapes.output_size(size, kernel_size, stride=stride, padding=padding)
        except ValueError:
            return name
    return None
