"""Patches: the view of an image that turns a convolution into one matrix product."""

import numpy as np

from course_cnn import _checks

CACHE_BYTES = 2**20  # patches worked on at a time; about one core's second-level cache. See `batches`.


def pad(x, axes, *, value=0):
    """Put a border of `value` around a batch (n, h, w, c). Returns x itself where nothing is added."""
    amounts = [(axis.before, axis.after) for axis in axes]
    if not any(map(any, amounts)):
        return x
    return np.pad(x, [(0, 0), *amounts, (0, 0)], constant_values=value)


def patches(x, axes):
    """View a padded batch (n, h, w, c) as its patches (n, out_h, out_w, kh, kw, c), without copying a number.

    Neighbouring patches overlap, so the view is read-only; writing would change several patches at once.
    """
    n, _, _, c = x.shape
    rows, columns = axes
    bytes_n, bytes_h, bytes_w, bytes_c = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        shape=(n, rows.out, columns.out, rows.taps, columns.taps, c),
        strides=(
            bytes_n,
            bytes_h * rows.stride,
            bytes_w * columns.stride,
            bytes_h * rows.dilation,
            bytes_w * columns.dilation,
            bytes_c,
        ),
        writeable=False,
    )


def batches(view):
    """Copy patches into rows of a matrix, a few images at a time, and yield (slice of images, matrix).

    All patches at once hold kh * kw times the numbers of the image and would be written to main memory and read back;
    `CACHE_BYTES` of them stay in the processor's cache. The matrix (images * out_h * out_w, kh * kw * c) is one buffer
    that is filled again and again: use it before asking for the next.
    """
    n, out_h, out_w, kh, kw, c = view.shape
    per_image = max(out_h * out_w * kh * kw * c * view.itemsize, 1)
    step = min(max(CACHE_BYTES // per_image, 1), max(n, 1))
    buffer = np.empty((step, *view.shape[1:]), view.dtype)
    for first in range(0, n, step):
        images = slice(first, min(first + step, n))
        part = buffer[: images.stop - first]
        np.copyto(part, view[images])
        yield images, part.reshape(-1, kh * kw * c)


def check_dy(function, dy, shape):
    """Raise unless the incoming gradient has the shape of the forward pass's output."""
    if getattr(dy, "shape", None) != shape:
        raise _checks.argument_error(
            function, "`dy` must have the shape of the forward pass's output `y`", f"Pass a gradient of shape {shape}",
            **{"dy.shape": getattr(dy, "shape", type(dy).__name__)},
        )  # fmt: skip
    _checks.floating(function, dy=dy)
