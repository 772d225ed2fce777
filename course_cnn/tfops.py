"""Convolution, bias, pooling and batch normalisation as TensorFlow's own operations, with every padding, one spelling.

`tf.nn.conv2d` does the work; these wrappers say what goes in and what comes out, take the paddings TensorFlow has no
word for, and turn its errors into sentences. TensorFlow's names beside ours: `filters=` is our kernel, `strides` our
stride, "SAME" and "VALID" our "same" and "valid" (only upper case is understood there), explicit padding is a list
[[0, 0], [top, bottom], [left, right], [0, 0]].
"""

from course_cnn import _checks, shapes
from course_cnn._tensorflow import tf

_IMAGES, _SEQUENCES = "(n, h, w, c)", "(n, steps, c)"


def conv2d(x, kernel, *, stride=1, padding="valid", dilation=1):
    """Convolve a batch of images with a bank of kernels by TensorFlow (the kernel is not flipped).

    Args:
        x: float tensor or array (n, h, w, c_in), any value range.
        kernel: float tensor or array (kh, kw, c_in, filters), dtype of x.
        stride, dilation: int >= 1, pixels; or one int per axis (h, w). Both may exceed 1, which Keras refuses.
        padding: "valid", "same", "full", "causal"; int >= 0 on every side; (before, after) on both axes; or
            ((top, bottom), (left, right)). See `shapes.output_size`.

    Returns:
        float tensor (n, out_h, out_w, filters), dtype of x. No bias: add it with `bias_add`.

    Raises:
        ValueError: ranks, dtypes or channels do not match, or the kernel does not fit.

    Example:
        >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
        >>> conv2d(x, np.ones((3, 3, 1, 1)), padding="same").numpy()[0, :, :, 0]
        array([[ 8., 15., 12.],
               [21., 36., 27.],
               [20., 33., 24.]])

    Source: TensorFlow API, `tf.nn.conv2d`; `course_cnn.scratch.conv2d_forward` computes the same in NumPy.
    """
    return _convolve("conv2d", x, kernel, stride, padding, dilation)


def conv1d(x, kernel, *, stride=1, padding="valid", dilation=1):
    """Convolve a batch of sequences.

    Args:
        x: float tensor or array (n, steps, c_in).
        kernel: float tensor or array (k, c_in, filters), dtype of x.
        stride, padding, dilation: as in `conv2d`, along the one axis. "causal" lets output t see nothing after step t.

    Returns:
        float tensor (n, out_steps, filters).

    Raises:
        ValueError: ranks, dtypes or channels do not match, or the kernel does not fit.

    Example:
        >>> impulse = np.eye(8)[5].reshape(1, 8, 1)
        >>> conv1d(impulse, np.ones((3, 1, 1)), padding="causal").numpy()[0, :, 0]
        array([0., 0., 0., 0., 0., 1., 1., 1.])

    Source: van den Oord et al., "WaveNet", 2016, section 2.1 (causal convolution).
    """
    return _convolve("conv1d", x, kernel, stride, padding, dilation)


def bias_add(x, bias):
    """Add one number to each feature map: y[..., f] = x[..., f] + bias[f].

    `tf.nn.conv2d` adds no bias, `keras.layers.Conv2D` does by default: conv2d then bias_add is what the layer computes.

    Args:
        x: float tensor or array (..., filters).
        bias: float tensor or array (filters,), dtype of x.

    Returns:
        float tensor like x.

    Raises:
        ValueError: bias is not one number per filter.

    Example:
        >>> bias_add(np.zeros((1, 1, 2, 2)), np.array([1.0, -1.0])).numpy()[0, 0]
        array([[ 1., -1.],
               [ 1., -1.]])
    """
    x, bias = _tensors("bias_add", x=x, bias=bias)
    if x.shape.rank < 2:
        _checks.rank("bias_add", "x", x, "(n, filters)")
    _checks.bias("bias_add", bias, x.shape[-1], x.dtype)
    return tf.nn.bias_add(x, bias)


def max_pool2d(x, pool_size=2, *, stride=None, padding="valid"):
    """Keep the largest number of each window.

    Args:
        x: float tensor or array (n, h, w, c).
        pool_size: int >= 1, window height and width in pixels; or one int per axis.
        stride: int >= 1, or one int per axis; None for windows that touch but do not overlap.
        padding: as in `conv2d`; the added pixels are never the largest.

    Returns:
        float tensor (n, out_h, out_w, c).

    Raises:
        ValueError: x has the wrong rank or dtype, the window does not fit, or a window would hold padding alone.

    Example:
        >>> x = np.array([[1., 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
        >>> max_pool2d(x[None, :, :, None]).numpy()[0, :, :, 0]
        array([[6., 8.],
               [3., 4.]])
    """
    return _pool("max_pool2d", "MAX", x, _IMAGES, pool_size, stride, padding)


def avg_pool2d(x, pool_size=2, *, stride=None, padding="valid"):
    """Average each window over the real pixels in it; pixels that the padding adds do not count.

    Args: as for `max_pool2d`.

    Returns:
        float tensor (n, out_h, out_w, c).

    Raises:
        ValueError: as for `max_pool2d`.

    Example:
        >>> x = np.array([[1., 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
        >>> avg_pool2d(x[None, :, :, None]).numpy()[0, :, :, 0]
        array([[3.25, 5.25],
               [2.  , 2.  ]])
    """
    return _pool("avg_pool2d", "AVG", x, _IMAGES, pool_size, stride, padding)


def max_pool1d(x, pool_size=2, *, stride=None, padding="valid"):
    """Keep the largest number of each window of a sequence (n, steps, c). Arguments and errors as for `max_pool2d`.

    Returns:
        float tensor (n, out_steps, c).

    Example:
        >>> max_pool1d(np.array([[[1.0], [3.0], [2.0], [0.0]]])).numpy()[0, :, 0]
        array([3., 2.])
    """
    return _pool("max_pool1d", "MAX", x, _SEQUENCES, pool_size, stride, padding)


def avg_pool1d(x, pool_size=2, *, stride=None, padding="valid"):
    """Average each window of a sequence (n, steps, c). Arguments and errors as for `avg_pool2d`.

    Returns:
        float tensor (n, out_steps, c).

    Example:
        >>> avg_pool1d(np.array([[[1.0], [3.0], [2.0], [0.0]]])).numpy()[0, :, 0]
        array([2., 1.])
    """
    return _pool("avg_pool1d", "AVG", x, _SEQUENCES, pool_size, stride, padding)


def batch_norm(x, gamma, beta, mean=None, variance=None, *, epsilon=1e-3):
    """Bring each channel to mean 0 and variance 1, then scale and shift it: y = gamma (x - mean) / std + beta.

    One kernel, `FusedBatchNormV3`, reads x once where the formula written out reads and writes it several times. It
    computes in float32 and knows no float64, which takes the formula. Two of its habits are undone here: the variance
    it hands back is not the one it has used but that times count / (count - 1), and it lets gradients of mean and
    variance vanish without a word (here they are None).

    Args:
        x: float tensor or array (..., c), two axes or more; mean and variance run over all of them but the last.
        gamma, beta: float tensors or arrays (c,): standard deviation and mean of y. Their dtype is that of x, or
            float32 where x is float16 or bfloat16.
        mean, variance: float tensors or arrays (c,), dtype of gamma, to use in place of the batch's own, as at
            inference; variance >= 0. No gradient flows to them. None (both) for those of the batch.
        epsilon: float > 0, added to the variance under the root.

    Returns:
        (y, mean, variance): float tensor like x, and what was used, (c,), the variance biased (divided by the count).

    Raises:
        ValueError: shapes or dtypes disagree, the batch is empty, or only one of mean and variance is given.

    Example:
        >>> y, mean, variance = batch_norm(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), epsilon=1e-9)
        >>> y.numpy().round(6).tolist(), mean.numpy().tolist(), variance.numpy().tolist()
        ([[-1.0], [1.0]], [2.0], [1.0])

    Source: Ioffe & Szegedy, "Batch normalization", 2015; TensorFlow API, `tf.raw_ops.FusedBatchNormV3`.
    """
    function = "batch_norm"
    given = {name: array for name, array in (("mean", mean), ("variance", variance)) if array is not None}
    if len(given) == 1:
        raise _checks.argument_error(
            function, f"only `{next(iter(given))}` is given", "Pass mean and variance, or neither for the batch's own"
        )
    x, *channels = _tensors(function, x=x, gamma=gamma, beta=beta, **given)
    if x.shape.rank < 2:
        _checks.rank(function, "x", x, "(n, c)")
    _checks.floating(function, x=x)
    if 0 in x.shape:
        raise _checks.argument_error(
            function, "the batch must hold at least one number per channel", "Leave out empty batches",
            **{"x.shape": tuple(x.shape)},
        )  # fmt: skip
    dtype = tf.float32 if x.dtype in (tf.float16, tf.bfloat16) else x.dtype
    _checks.per_channel(function, x.shape[-1], dtype, **dict(zip(("gamma", "beta", *given), channels, strict=True)))
    epsilon = _checks.positive(function, "epsilon", epsilon, example=0.001)
    gamma, beta, *given = channels
    given = [tf.stop_gradient(array) for array in given]

    if x.dtype == tf.float64:
        mean, variance = given or tf.nn.moments(x, list(range(x.shape.rank - 1)))
        y = tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)
        return y, tf.stop_gradient(mean), tf.stop_gradient(variance)

    images = x if x.shape.rank == 4 else tf.reshape(x, (1, -1, 1, x.shape[-1]))  # the kernel takes images only
    y, *used = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=gamma, offset=beta, mean=given[0] if given else [], variance=given[1] if given else [],
        epsilon=epsilon, is_training=not given,
    )[:3]  # fmt: skip
    if x.shape.rank != 4:
        y = tf.ensure_shape(tf.reshape(y, tf.shape(x)), x.shape)
    if given:
        return y, *given
    mean, variance = map(tf.stop_gradient, used)
    count = tf.cast(tf.size(x, tf.int64) // x.shape[-1], tf.float32)
    # Of one number alone the variance is 0, whatever a kernel makes of a division by count - 1.
    return y, mean, tf.where(count == 1, 0.0, variance * (count - 1) / count)


def _convolve(function, x, kernel, stride, padding, dilation):
    x, kernel = _tensors(function, x=x, kernel=kernel)
    one_d = function == "conv1d"
    _checks.rank(function, "x", x, _SEQUENCES if one_d else _IMAGES)
    _checks.rank(function, "kernel", kernel, "(k, c_in, filters)" if one_d else "(kh, kw, c_in, filters)")
    _checks.channels(function, x, kernel)
    _checks.floating(function, x=x, kernel=kernel)
    axes = shapes.windows(
        x.shape[1:-1], kernel.shape[:-2], stride=stride, padding=padding, dilation=dilation, function=function
    )
    strides = [axis.stride for axis in axes]
    if any(axis.dilation > 1 for axis in axes):
        # tf.nn.conv2d(dilations=…) has no float64 gradient on a CPU and tf.nn.convolution takes no stride beside a
        # dilation, so: the kernel with its holes at every position, of which we keep every stride-th.
        y = tf.nn.convolution(_pad(x, axes), kernel, padding="VALID", dilations=[axis.dilation for axis in axes])
        return y[(slice(None), *(slice(None, None, step) for step in strides))]
    if one_d:  # a sequence is an image one pixel high
        y = tf.nn.conv2d(x[:, None], filters=kernel[None], strides=[1, *strides], padding=_tf_padding(padding, axes))
        return y[:, 0]
    return tf.nn.conv2d(x, filters=kernel, strides=strides, padding=_tf_padding(padding, axes))


def _pool(function, kind, x, x_axes, pool_size, stride, padding):
    (x,) = _tensors(function, x=x)
    _checks.rank(function, "x", x, x_axes)
    _checks.floating(function, x=x)
    axes = shapes.pool_windows(x.shape[1:-1], pool_size, stride=stride, padding=padding, function=function)
    pool = tf.nn.max_pool if kind == "MAX" else tf.nn.avg_pool
    settings = dict(ksize=[axis.taps for axis in axes], strides=[axis.stride for axis in axes])
    if _word(padding):
        return pool(x, padding=_word(padding), **settings)
    if kind == "MAX":
        return pool(_pad(x, axes, value=x.dtype.min), padding="VALID", **settings)
    # The sum over a window divided by the number of real pixels in it: both are averages over the padded window.
    inside = tf.ones((1, *x.shape[1:-1], 1), x.dtype)
    return pool(_pad(x, axes), padding="VALID", **settings) / pool(_pad(inside, axes), padding="VALID", **settings)


def _pad(x, axes, *, value=0):
    amounts = [(0, 0), *((axis.before, axis.after) for axis in axes), (0, 0)]
    return tf.pad(x, amounts, constant_values=value) if any(map(any, amounts)) else x


def _word(padding):
    """TensorFlow's spelling of a padding it has a word for, else None."""
    word = padding.upper() if isinstance(padding, str) else None
    return word if word in ("VALID", "SAME") else None


def _tf_padding(padding, axes):
    """What `tf.nn.conv2d` takes: its word, or the zeros for each of its four axes, n, h, w and c."""
    zeros = [[axis.before, axis.after] for axis in axes]
    return _word(padding) or [[0, 0], *[[0, 0]] * (2 - len(axes)), *zeros, [0, 0]]


def _tensors(function, **arrays):
    """Return tensors; what TensorFlow cannot convert is reported by the name of the argument."""
    tensors = []
    for name, array in arrays.items():
        try:
            tensors.append(tf.convert_to_tensor(array))
        except (ValueError, TypeError) as error:
            raise _checks.argument_error(
                function, f"`{name}` must be a tensor or an array of numbers",
                f"Pass np.asarray({name}, dtype='float32')", **{f"type({name})": type(array).__name__},
            ) from error  # fmt: skip
    return tensors
