"""Patches: the view of an image that turns a convolution into matrix products, and the sharing of work among cores."""

import contextvars
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import threadpoolctl

from course_cnn import _checks

CACHE_BYTES = 2**21  # patches one core works on at a time; about the size of its own cache. See `in_batches`.


def pad(x, axes, *, value=0):
    """Put a border of `value` around a batch (n, h, w, c). Returns x itself where nothing is added."""
    rows, columns = axes
    if not any((rows.before, rows.after, columns.before, columns.after)):
        return x
    n, h, w, c = x.shape
    padded = np.full((n, rows.before + h + rows.after, columns.before + w + columns.after, c), value, x.dtype)
    padded[:, rows.before : rows.before + h, columns.before : columns.before + w] = x
    return padded


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


def meetings(axis):
    """List, for every kernel tap along one axis, which pixels meet which outputs through it: two slices, paired.

    Tap t of output o lies on pixel o * stride + t * dilation - before. Where that is outside the image the tap lies
    on padding, which is zero and adds nothing: such pairs are left out.

    Example:
        >>> from course_cnn.shapes import window
        >>> for pixels, outputs in meetings(window(4, 3, padding="same")):
        ...     print(np.arange(4)[pixels], "->", np.arange(4)[outputs])
        [0 1 2] -> [1 2 3]
        [0 1 2 3] -> [0 1 2 3]
        [1 2 3] -> [0 1 2]
    """
    pairs = []
    for tap in range(axis.taps):
        shift = tap * axis.dilation - axis.before
        first = max(0, -(shift // axis.stride))  # ceil(-shift / stride): the first output whose tap is inside
        stop = max(first, min(axis.out, (axis.size - 1 - shift) // axis.stride + 1))
        start, end = first * axis.stride + shift, stop * axis.stride + shift
        pairs.append((slice(start, max(end, 0), axis.stride), slice(first, stop)))
    return pairs


def in_batches(work, n, bytes_per_image):
    """Call `work(images)` with slices that cover n images, on several cores, and list the results in order.

    A batch is small enough for its patches (`bytes_per_image` for each image) to stay in a core's cache: all patches at
    once would be written to main memory and read back. NumPy's matrix product would use all cores as well, but for the
    product alone; one thread per batch also shares out the copying and adding around it. The batches, and so the
    rounding, do not depend on how many cores there are. As many threads run as the matrix product would use.
    """
    step = max(1, CACHE_BYTES // max(bytes_per_image, 1))
    batches = [slice(first, min(first + step, n)) for first in range(0, max(n, 1), step)]
    with _one_at_a_time:
        threads = max((library.num_threads for library in _blas().lib_controllers), default=1)
        if threads == 1 or len(batches) == 1:
            return [work(images) for images in batches]
        with _blas().limit(limits=1):
            pool = _threads(os.getpid(), threads)
            futures = [pool.submit(contextvars.copy_context().run, work, images) for images in batches]  # np.errstate
            return [future.result() for future in futures]


def one_thread():
    """Hold the matrix products to one thread while `with one_thread():` lasts, and `in_batches` with them."""
    return _blas().limit(limits=1)


_one_at_a_time = threading.Lock()  # the limit holds for the whole process: two calls would undo each other's


@functools.cache
def _blas():
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


@functools.cache
def _threads(process, count):
    """Start the threads once; `process` is there because a forked child has none of its parent's."""
    return ThreadPoolExecutor(count, thread_name_prefix="conv")


def check_dy(function, dy, shape):
    """Raise unless the incoming gradient has the shape of the forward pass's output."""
    if getattr(dy, "shape", None) != shape:
        raise _checks.argument_error(
            function, "`dy` must have the shape of the forward pass's output `y`", f"Pass a gradient of shape {shape}",
            **{"dy.shape": getattr(dy, "shape", type(dy).__name__)},
        )  # fmt: skip
    _checks.floating(function, dy=dy)
