"""Normalisation: Keras's numbers from TensorFlow's kernels."""

import functools
import math
import numbers

from course_cnn import _checks, tfops
from course_cnn._tensorflow import tf  # before Keras: it quiets the import of TensorFlow

# isort: split
import keras
from keras import ops

_WORTH_A_KERNEL = 2**18  # numbers in an input; measured on two cores: half the speed at 2**14, twice at 2**20


@keras.saving.register_keras_serializable(package="course_cnn")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's `BatchNormalization`, computed by TensorFlow's fused kernel where that pays: same numbers, sooner.

    y = gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel. In training mean and variance are the batch's,
    over all axes but the channels, and the moving averages follow: moving = momentum * moving + (1 - momentum) * batch,
    with the biased variance. At inference, and when `trainable` is False, the moving averages take their place.
    Keras 3 reads the input several times for that; the kernel of `tfops.batch_norm` does it in one go.

    The formulas of Keras step in where the kernel does not apply: float64 or integer input, a mask, an axis that is not
    the last, `synchronized` or `renorm`, another backend than TensorFlow; at inference on a GPU, where the kernel's
    gradient refuses to run after `training.seed_everything`; and for inputs of less than 262,144 numbers (of unknown
    sizes each counts as 64), which are done before the kernel has started its threads. In a graph that XLA compiles
    (`jit_compile=True`) both ways become the same code.

    A batch with one number per channel (a batch of one after a dense layer) has variance 0, so y = beta whatever x is.

    Args:
        axis, momentum, epsilon, center, scale, …: as for `keras.layers.BatchNormalization`, and with the same weights
            in the same order: gamma, beta, moving_mean, moving_variance.

    Input: float tensor (..., c).
    Output: like the input. Parameters: 4 c, of which 2 c trained.

    Raises:
        ValueError: `momentum` or `epsilon` is out of its range; `axis` is not an integer, as in BatchNormalization(x),
            where BatchNormalization()(x) is meant.

    Example:
        >>> norm = BatchNormalization(epsilon=1e-9)
        >>> norm(np.array([[1.0], [3.0]]), training=True).numpy().round(6).tolist()
        [[-1.0], [1.0]]
        >>> norm.moving_mean.numpy()      # 0.99 * 0 + 0.01 * 2
        array([0.02], dtype=float32)

    Source: Ioffe & Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015, algorithms 1 and 2.
    """

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, *args, **kwargs):
        if not isinstance(axis, numbers.Integral):
            raise _checks.argument_error(
                "BatchNormalization", "`axis` must be an integer, the axis of the channels",
                "To normalise a tensor x, make the layer, then call it: BatchNormalization()(x)",
                **{"type(axis)": type(axis).__name__},
            )  # fmt: skip
        momentum = _checks.rate("BatchNormalization", "momentum", momentum)
        epsilon = _checks.positive("BatchNormalization", "epsilon", epsilon, example=0.001)
        super().__init__(axis, momentum, epsilon, *args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        learning = bool(training and self.trainable)
        if mask is not None or not self._fused(inputs, learning):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        gamma = ops.cast(self.gamma, "float32") if self.scale else tf.ones(channels)
        beta = ops.cast(self.beta, "float32") if self.center else tf.zeros(channels)
        moving = [ops.cast(self.moving_mean, "float32"), ops.cast(self.moving_variance, "float32")]
        y, *batch = tfops.batch_norm(inputs, gamma, beta, *(() if learning else moving), epsilon=self.epsilon)
        if learning:
            for variable, old, new in zip((self.moving_mean, self.moving_variance), moving, batch, strict=True):
                variable.assign(old * self.momentum + new * (1 - self.momentum))
        return ops.cast(y, self.compute_dtype)

    def _fused(self, inputs, learning):
        """Whether the kernel applies and pays."""
        return (
            keras.config.backend() == "tensorflow"
            and self.axis in (-1, len(inputs.shape) - 1)
            and inputs.dtype in (tf.float16, tf.bfloat16, tf.float32)
            and 0 not in inputs.shape
            and not (self.synchronized or getattr(self, "renorm", False))  # Keras 3.12 has no renorm
            and (learning or not _gpu())
            and math.prod(64 if size is None else size for size in inputs.shape) >= _WORTH_A_KERNEL
        )


@functools.cache
def _gpu():
    return bool(tf.config.list_physical_devices("GPU"))
