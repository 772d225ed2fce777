"""The one place that words argument errors, and those of the disk.

Every message reads `{function}: {rule in the field's words} (argument=value, …). {Remedy}`, so that a student learns
what was asked, what came and what to do about it. Pure Python: arrays are looked at through `.shape` and `.dtype`.
"""

import errno
import math
import numbers
import operator


def argument_error(function, rule, remedy, /, **values):
    """Build the ValueError to raise: `raise argument_error("conv2d", "…", "…", stride=0)`.

    A ValueError for wrong types too, as Keras does: one `except` catches whatever is wrong with an argument.

    Args:
        function: str, the public function the caller typed.
        rule: str, what has to hold, in the field's words.
        remedy: str, what to do, with a number in it where there is one.
        **values: the arguments concerned, by the names the caller typed.

    Example:
        >>> str(argument_error("output_size", "`stride` must be an integer >= 1", "Use stride=1", stride=0))
        'output_size: `stride` must be an integer >= 1 (stride=0). Use stride=1.'
    """
    shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
    shown = f" ({shown})" if shown else ""
    return ValueError(f"{function}: {rule}{shown}. {remedy}.")


def integer(function, name, value, *, minimum):
    """Return `value` as an int, or raise if it is not a whole number >= `minimum`. True and False are not numbers."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < minimum:
        raise argument_error(
            function, f"`{name}` must be an integer >= {minimum}", f"Use for example {name}={minimum}", **{name: value}
        )
    return number


def rate(function, name, value):
    """Return `value` as a float, or raise unless it is a number in [0, 1): a share of which something must be left."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise argument_error(
            function, f"`{name}` must be a number from 0 to below 1", f"Use for example {name}=0.5", **{name: value}
        )
    return float(value)


def positive(function, name, value, example):
    """Return `value` as a float, or raise unless it is a finite number > 0; the remedy shows `example`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise argument_error(
            function, f"`{name}` must be a number > 0", f"Use for example {name}={example}", **{name: value}
        )
    return float(value)


def choice(function, name, value, options):
    """Return `value` if it is one of `options` (a sequence, listed in that order), or raise."""
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise argument_error(
            function, f"`{name}` must be one of {listed}", f"Use {name}={options[0]!r}", **{name: value}
        )
    return value


def rank(function, name, array, axes):
    """Raise unless `array` has one axis per word of `axes`, such as `"(n, h, w, c)"`.

    An axis of the wrong count is the commonest slip of all: a single image where a batch is meant.
    """
    wanted = axes.count(",") + (not axes.rstrip(")").endswith(","))
    if not hasattr(array, "shape"):
        raise argument_error(
            function, f"`{name}` must be an array {axes}", f"Pass np.asarray({name})",
            **{f"type({name})": type(array).__name__},
        )  # fmt: skip
    if len(array.shape) != wanted:
        remedy = f"Reshape {name} to {axes}"
        if len(array.shape) == wanted - 1:
            remedy = f"Add the missing axis, for example {name}[None] for a batch of one"
        shape = tuple(array.shape)
        raise argument_error(function, f"`{name}` must have {wanted} axes {axes}", remedy, **{f"{name}.shape": shape})


def floating(function, **arrays):
    """Raise unless every array is of one and the same floating dtype.

    Integer images are refused rather than cast: a uint8 image wraps around at 255 in silence.
    """
    for name, array in arrays.items():
        if not hasattr(array, "dtype"):
            raise argument_error(
                function, f"`{name}` must be an array of floating-point numbers", f"Pass np.asarray({name}, float)",
                **{f"type({name})": type(array).__name__},
            )  # fmt: skip
        dtype = getattr(array.dtype, "name", str(array.dtype))
        if "float" not in dtype:
            raise argument_error(
                function, f"`{name}` must hold floating-point numbers",
                f"Convert it: {name}.astype('float32') for NumPy, tf.cast({name}, tf.float32) for TensorFlow",
                **{f"{name}.dtype": dtype},
            )  # fmt: skip
    names = {getattr(array.dtype, "name", str(array.dtype)) for array in arrays.values()}
    if len(names) > 1:
        first = next(iter(arrays))
        raise argument_error(
            function, "all arrays must share one dtype", f"Convert the others to the dtype of `{first}`",
            **{f"{name}.dtype": getattr(a.dtype, "name", str(a.dtype)) for name, a in arrays.items()},
        )  # fmt: skip


def channels(function, x, kernel):
    """Raise unless the last axis of `x` has as many channels as `kernel` (…, c_in, c_out) expects."""
    if x.shape[-1] != kernel.shape[-2]:
        axes = "(k, c_in, c_out)" if len(kernel.shape) == 3 else "(kh, kw, c_in, c_out)"
        raise argument_error(
            function, f"`x` has {x.shape[-1]} channels but `kernel` expects {kernel.shape[-2]}",
            f"Kernel axes are {axes}; images are channels last",
            **{"x.shape": tuple(x.shape), "kernel.shape": tuple(kernel.shape)},
        )  # fmt: skip


def bias(function, bias, filters, dtype):
    """Raise unless `bias` is one number per filter, of the dtype it is added to."""
    rank(function, "bias", bias, "(filters,)")
    if bias.shape[0] != filters or bias.dtype != dtype:
        wanted = getattr(dtype, "name", str(dtype))
        raise argument_error(
            function, f"`bias` must hold one number per filter, {filters} in all, of dtype {wanted}",
            f"Use for example np.zeros({filters}, '{wanted}')",
            **{"bias.shape": tuple(bias.shape), "bias.dtype": getattr(bias.dtype, "name", str(bias.dtype))},
        )  # fmt: skip


def per_channel(function, channels, dtype, **arrays):
    """Raise unless every array holds one number per channel of `x`, of this dtype."""
    dtype = getattr(dtype, "name", str(dtype))
    for name, array in arrays.items():
        shape, kind = getattr(array, "shape", type(array).__name__), getattr(array, "dtype", None)
        if shape != (channels,) or getattr(kind, "name", str(kind)) != dtype:
            raise argument_error(
                function, f"`{name}` must hold one number per channel of x, {channels} in all, of dtype {dtype}",
                f"Use for example np.{'ones' if name in ('gamma', 'moving_variance', 'variance') else 'zeros'}"
                f"({channels}, '{dtype}')",
                **{f"{name}.shape": shape if isinstance(shape, str) else tuple(shape),
                   f"{name}.dtype": getattr(kind, "name", str(kind))},
            )  # fmt: skip


def finite(function, **arrays):
    """Raise unless every number of every array (NumPy) is finite: one NaN would spread to all it meets."""
    for name, array in arrays.items():
        good = abs(array) < math.inf  # False for NaN, too
        if not good.all():
            raise argument_error(
                function, f"`{name}` must hold finite numbers, and {(~good).sum()} of {good.size} are NaN or infinite",
                f"Find them: np.argwhere(~np.isfinite({name})). In training, a smaller learning rate often helps",
            )  # fmt: skip


def labels(function, name, labels, n, classes=math.inf):
    """Raise unless `labels` (NumPy) holds n whole numbers in [0, classes)."""
    rank(function, name, labels, "(n,)")
    if labels.dtype.kind not in "iu":
        raise argument_error(
            function, f"`{name}` must hold whole numbers, one class each", f"Convert them: {name}.astype('int64')",
            **{f"{name}.dtype": str(labels.dtype)},
        )  # fmt: skip
    if len(labels) != n:
        raise argument_error(
            function, f"there must be one label for each of the {n} rows", f"Pass {n} labels",
            **{f"len({name})": len(labels)},
        )  # fmt: skip
    if n and (labels.min() < 0 or labels.max() >= classes):
        raise argument_error(
            function, f"`{name}` must count classes from 0: at least 0 and below {classes}",
            "Number your classes from 0, as np.unique(labels, return_inverse=True)[1] does; each needs its own score",
            smallest=int(labels.min()), largest=int(labels.max()),
        )  # fmt: skip


def disk_problem(error, full):
    """Return (what is wrong, what to do) for an `OSError` of this machine's own disk; `full` words a lack of room."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return full, "Free that much space"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the folder may not be written to", "Make it writable"
    return error.strerror or str(error), "Mend that"
