"""ResNets for images of 32x32 pixels, 20 to 1202 layers deep, and the plain networks they are compared with.

Sources: He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2; the same,
"Identity mappings in deep residual networks", ECCV 2016 (the pre-activation form).
"""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.layers.blocks import ConvBlock, ResidualBlock, batch_norm
from course_cnn.zoo._common import image_shape, scaled

# One convolution of 16 filters, then three stages of 2n convolutions; stages 2 and 3 begin with a stride of 2:
# (output size on 32x32, filters). Then global average pooling and a dense layer: 6n + 2 layers with weights.
TABLE = [(32, 16), (16, 32), (8, 64)]
DEEPEST_FLAT = 200  # layers; Keras walks a graph by recursion, and Python stops at 1000 calls, seven per block


def build_cifar_resnet(
    depth, *, shortcut="identity", preactivation=False, input_shape=(32, 32, 3), num_classes=10, width=1.0
):
    """Build the residual network of 6n + 2 layers that the paper trained on CIFAR-10. Not compiled; ends in logits.

    Args:
        depth: int, layers with weights: 8, 14, 20, … The paper has 20, 32, 44, 56, 110 and 1202.
        shortcut: where a stage begins with more filters and half the pixels: "identity", subsampled and filled with
            channels of zeros (the paper's option A, no parameters), or "projection", a 1x1 convolution (option B).
        preactivation: True for batch norm and ReLU in front of each convolution, as in the second paper.
        input_shape: (h, w, c) in pixels and channels; any size of at least 1x1. Values with mean 0 train best.
        num_classes: int >= 1, number of logits.
        width: number > 0, a factor on every layer's filters.

    Returns:
        `keras.Model`, flat, its layers named stage1_block1_1_conv and so on; deeper than 200 layers each residual block
        is one `layers.ResidualBlock`, because Python's recursion would not reach the end. Weights start as in He et
        al. 2015 (`he_normal`); only the dense layer, which no ReLU follows, keeps Keras's `glorot_uniform`.
        Before training the moving statistics normalise nothing: at inference each block doubles the variance, and a
        thousand layers overflow.

    Raises:
        ValueError: the depth is not of the form, or an argument is out of its range.

    Example:
        >>> model = build_cifar_resnet(20)
        >>> sum(int(np.prod(w.shape)) for w in model.trainable_weights)     # the paper: 0.27 million
        269722
        >>> build_cifar_resnet(21)
        Traceback (most recent call last):
        ValueError: build_cifar_resnet: `depth` must be 6n + 2 with n >= 1 (depth=21). Use depth=20 or depth=26.

    Source: He et al. 2016, section 4.2.
    """
    _checks.choice("build_cifar_resnet", "shortcut", shortcut, ("identity", "projection"))
    _checks.choice("build_cifar_resnet", "preactivation", preactivation, (False, True))
    name = f"cifar_resnet{depth}{'_preactivation' if preactivation else ''}"
    return _build("build_cifar_resnet", name, depth, shortcut, preactivation, input_shape, num_classes, width)


def build_cifar_plain(depth, *, input_shape=(32, 32, 3), num_classes=10, width=1.0):
    """Build the same network without shortcuts, to compare with. Not compiled; ends in logits.

    Layer for layer and weight for weight the network of `build_cifar_resnet(depth)`: identity shortcuts have no
    parameters, so the two even exchange their weights.

    Args:
        depth: int, layers with weights: 8, 14, 20, … The paper has 20, 32, 44, 56 and, in the text, 110.
        input_shape, num_classes, width: as for `build_cifar_resnet`.

    Returns:
        `keras.Model`, as `build_cifar_resnet` has it.

    Raises:
        ValueError: the depth is not of the form, or an argument is out of its range.

    Example:
        >>> build_cifar_plain(20).count_params() == build_cifar_resnet(20).count_params()
        True

    Source: He et al. 2016, section 4.2, figure 6 left.
    """
    return _build("build_cifar_plain", f"cifar_plain{depth}", depth, None, False, input_shape, num_classes, width)


def _build(function, name, depth, shortcut, preactivation, input_shape, num_classes, width):
    n = _blocks_per_stage(function, depth)
    num_classes = _checks.integer(function, "num_classes", num_classes, minimum=1)
    width = _checks.positive(function, "width", width, example=0.5)
    inputs = keras.Input(image_shape(function, input_shape))
    first = {"normalization": None, "activation": None, "use_bias": False} if preactivation else {}
    x = ConvBlock(scaled(16, width), name="conv1", **first).call(inputs)
    for stage, (_, filters) in enumerate(TABLE, start=1):
        for i in range(1, n + 1):
            block = ResidualBlock(
                scaled(filters, width), strides=2 if stage > 1 and i == 1 else 1, shortcut=shortcut,
                preactivation="both" if preactivation and stage == i == 1 else preactivation,
                name=f"stage{stage}_block{i}",
            )  # fmt: skip
            x = block.call(x) if depth <= DEEPEST_FLAT else block(x)
    if preactivation:  # the last sum has not been activated yet
        x = keras.layers.Activation("relu", name="post_relu")(batch_norm(name="post_bn")(x))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, name="predictions")(x), name=name)


def _blocks_per_stage(function, depth):
    depth = _checks.integer(function, "depth", depth, minimum=8)
    n, rest = divmod(depth - 2, 6)
    if rest:
        raise _checks.argument_error(
            function, "`depth` must be 6n + 2 with n >= 1", f"Use depth={6 * n + 2} or depth={6 * n + 8}", depth=depth
        )
    return n
