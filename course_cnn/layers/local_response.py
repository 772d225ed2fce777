"""Local response normalisation: neighbouring channels compete, as AlexNet had it."""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras
from keras import ops

from course_cnn.layers._common import image_shape


@keras.saving.register_keras_serializable(package="course_cnn")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each number by a measure of its neighbours across channels, at the same pixel. Nothing is learned.

    With a_i the number in channel i, and j over the n = 2 * depth_radius + 1 channels around i, where there are any:

        y_i = a_i / (k + alpha * sum_j a_j ** 2) ** beta

    That is the paper's formula, and `tf.nn.local_response_normalization` with `bias=k`. Caffe, PyTorch and ONNX write
    alpha / n in its place: for their alpha=0.0001 use alpha=0.00002 here.

    With the defaults it does something to activations of 50 and more, as images of 0 to 255 give them; small ones are
    all divided by 2 ** 0.75 = 1.68.

    Args:
        depth_radius: int >= 0, channels on either side; the paper's n = 5 is depth_radius=2.
        k: float > 0, keeps the division from blowing up where all are 0.
        alpha: float > 0, how much the neighbours count.
        beta: float > 0, the exponent; with 0.5 and depth_radius as large as the channels are many, a pixel's channels
            are divided by something like their length.
        **kwargs: `name`, `dtype`, … as for `keras.layers.Layer`.

    Input: float tensor (n, h, w, c).
    Output: like the input. No parameters. Computed in float32 at least.

    Raises:
        ValueError: an argument is out of its range; the input is not (n, h, w, c).

    Example:
        >>> norm = LocalResponseNormalization(depth_radius=1, k=1, alpha=1, beta=0.5)
        >>> norm(np.array([[[[2.0, 2.0, 0.0, 4.0]]]])).numpy().round(3)      # 2 / (1 + 2² + 2²) ** 0.5, …
        array([[[[0.667, 0.667, 0.   , 0.97 ]]]], dtype=float32)

    Source: Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks", 2012,
    section 3.3.
    """

    def __init__(self, depth_radius=2, *, k=2.0, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        function = "LocalResponseNormalization"
        self.depth_radius = _checks.integer(function, "depth_radius", depth_radius, minimum=0)
        self.k = _checks.positive(function, "k", k, 2.0)
        self.alpha = _checks.positive(function, "alpha", alpha, 1e-4)
        self.beta = _checks.positive(function, "beta", beta, 0.75)

    def get_config(self):
        settings = {"depth_radius": self.depth_radius, "k": self.k, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **settings}

    def compute_output_shape(self, input_shape):
        return image_shape("LocalResponseNormalization", input_shape)

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # a later input may differ from the one the layer was built for
        radius = self.depth_radius
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        squares = ops.pad(ops.square(x), [(0, 0), (0, 0), (0, 0), (radius, radius)])
        neighbours = sum(squares[..., i : (i - 2 * radius) or None] for i in range(2 * radius + 1))
        return ops.cast(x / (self.k + self.alpha * neighbours) ** self.beta, self.compute_dtype)
