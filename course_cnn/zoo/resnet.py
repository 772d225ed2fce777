"""ResNets for ImageNet: 18, 34, 50, 101 and 152 layers out of one kind of block.

Source: He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, table 1.
"""

from course_cnn import _checks
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras: it quiets the import of TensorFlow)

# isort: split
import keras

from course_cnn.layers.blocks import ConvBlock, ResidualBlock
from course_cnn.zoo._common import image_shape, scaled

# Table 1: the stages conv2_x to conv5_x. Each halves the image on its first convolution, but for conv2_x, which
# follows a max pooling. Depth: (1x1, 3x3, 1x1 instead of 3x3, 3x3?, blocks per stage).
FILTERS = (64, 128, 256, 512)
TABLE = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}


def build_resnet(
    depth, *, shortcut="projection", input_shape=(224, 224, 3), num_classes=1000, width=1.0, use_bias=None
):
    """Build ResNet-18, 34, 50, 101 or 152. Not compiled; ends in logits.

    50, 101 and 152 have the layers of `keras.applications.ResNet50` and so on, by name and by order: their weights fit
    as they are, `build_resnet(50).set_weights(theirs.get_weights())`, and give the same outputs. 18 and 34, which
    `keras.applications` lacks, have the layers of torchvision.

    Args:
        depth: 18, 34, 50, 101 or 152, layers with weights on the longest way.
        shortcut: where a stage changes the shape: "projection", a 1x1 convolution (the paper's option B), "identity",
            subsampled and filled with channels of zeros (option A), or None for the plain network without shortcuts.
        input_shape: (h, w, c) in pixels and channels; any size of at least 1x1, though below 32 the last stage has a
            single pixel left. Values with mean 0 per channel, as in the paper.
        num_classes: int >= 1, number of logits.
        width: number > 0, a factor on every layer's filters.
        use_bias: bool, whether convolutions have biases, which batch norm takes out again; None for what the library
            has that the weights may come from: True for 50, 101 and 152, False for 18 and 34.

    Returns:
        `keras.Model`, flat. Weights start as in He et al. 2015 (`he_normal`); only the dense layer, which no ReLU
        follows, keeps Keras's `glorot_uniform`.

    Raises:
        ValueError: the paper has no such depth, or an argument is out of its range.

    Example:
        >>> model = build_resnet(18, width=0.25, num_classes=10)
        >>> [model.get_layer(f"conv{i}_block1_out").output.shape[1:] for i in (2, 3, 4, 5)]
        [(56, 56, 16), (28, 28, 32), (14, 14, 64), (7, 7, 128)]

    Source: He et al. 2016, table 1 and section 4.1. A stage's stride stands on its first convolution, as there; later
    code (torchvision's "v1.5") moves it to the 3x3 of a bottleneck.
    """
    bottleneck, blocks = TABLE[_checks.choice("build_resnet", "depth", depth, tuple(TABLE))]
    _checks.choice("build_resnet", "shortcut", shortcut, ("projection", "identity", None))
    num_classes = _checks.integer("build_resnet", "num_classes", num_classes, minimum=1)
    width = _checks.positive("build_resnet", "width", width, example=0.5)
    use_bias = bottleneck if use_bias is None else bool(use_bias)
    inputs = keras.Input(image_shape("build_resnet", input_shape))
    x = ConvBlock(scaled(64, width), 7, strides=2, padding=3, use_bias=use_bias, name="conv1").call(inputs)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (filters, n) in enumerate(zip(FILTERS, blocks, strict=True), start=2):
        for i in range(1, n + 1):
            x = ResidualBlock(
                scaled(filters, width), strides=2 if stage > 2 and i == 1 else 1, bottleneck=bottleneck,
                shortcut=shortcut, use_bias=use_bias, name=f"conv{stage}_block{i}",
            ).call(x)  # fmt: skip
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    name = f"{'plain' if shortcut is None else 'resnet'}{depth}"
    return keras.Model(inputs, keras.layers.Dense(num_classes, name="predictions")(x), name=name)
